"""`kdtutor publish`: the course's address on GitHub, in every file that names it."""

from argparse import ArgumentParser

HELP = "write the course's address on GitHub into everything that names it"


def add_arguments(parser: ArgumentParser) -> None:
    """The repository."""
    parser.add_argument("repository", metavar="OWNER/REPO", help="a public repository, yours or a fork")
    parser.set_defaults(work=publish)


def publish(repository: str) -> int:
    """Write the address, and print the path of each file that changed."""
    from kdtutor.course import publishing

    changed = publishing.stamp(repository)
    if changed:
        print(*changed, sep="\n")
    else:
        print("Nothing to change.")
    return 0
