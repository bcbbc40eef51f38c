"""What the notebooks and the reproduction need: claims, teachers, exercises, Hinton's section 3."""
