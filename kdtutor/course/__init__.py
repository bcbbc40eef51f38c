"""What the notebooks and the reproduction need: claims, teachers, exercises, Hinton's section 3."""


def set_up() -> None:
    """Give figures the course's style, and PyTorch one thread: for small networks a second one gains little, and stalls
    on a busy machine."""
    import matplotlib.pyplot as plt
    import torch

    plt.style.use("kdtutor.course")
    torch.set_num_threads(1)
