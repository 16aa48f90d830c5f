"""Checks that are told one by one and counted; for the tests in Python that play with a whole gateway."""
failures = []


def check(truth, what, otherwise=""):
    """Prints whether it holds, with `otherwise` if not, and remembers what did not."""
    print(("ok    " if truth else "FAIL  ") + what + (f": {otherwise}" if otherwise and not truth else ""), flush=True)
    if not truth:
        failures.append(what)
    return truth
