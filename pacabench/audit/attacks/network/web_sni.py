"""Opens a tunnel to the allowed host, and in it TLS for another one, or for none that is named."""

from pacabench.audit.attacks.kit import (
    ALLOWED,
    Found,
    Given,
    client_hello,
    found,
    leaked,
    must_work,
    tunnelled,
)


def attack(given: Given) -> Found:
    """See above."""
    port = given["web_port"]
    must_work(port)
    other, own = client_hello("other.audit.test"), client_hello(ALLOWED)
    hellos = {
        "another host": other,
        "no host": client_hello(None),
        "a look-alike": client_hello(f"x{ALLOWED}"),
        "two at once": own + other,
        "in pieces": other[:5] + other[5:],
        "cut short": other[:40],
    }
    seen = {name: tunnelled(port, f"{ALLOWED}:443", hello) for name, hello in hellos.items()}
    return found(leaked(seen), answers=seen)
