"""What a training run measured, epoch by epoch."""

from dataclasses import dataclass, field


@dataclass
class History:
    """What a run measured, one entry an epoch. Losses in nats an example, errors per 10,000 examples.

    `train_loss` (the loss that was minimised) and `train_errors` are means over the epoch, while the weights move.
    `validation_loss` is cross-entropy on the labels at T = 1, so that runs with different losses can be compared.
    """

    train_loss: list[float] = field(default_factory=list)
    train_errors: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_errors: list[float] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False

    def __repr__(self) -> str:
        columns = {name: values for name, values in vars(self).items() if isinstance(values, list) and values}
        lines = ["epoch" + "".join(f"{name.replace('_', ' '):>20}" for name in columns)]
        for epoch in range(len(self.train_loss)):
            row = {name: values[epoch] for name, values in columns.items() if epoch < len(values)}
            cells = (f"{value:20.0f}" if "errors" in name else f"{value:20.4f}" for name, value in row.items())
            lines.append(f"{epoch + 1:5}" + "".join(cells))
        return "\n".join(lines + ["interrupted"] * self.interrupted)
