"""What clients of the sandbox's world send: events with their properties."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from spade_spark.sandbox.sample_geo_users import SampleData
from spade_spark.window import PACIFIC

Properties = dict[str, Any]
Maker = Callable[["EventGenerator", float], Properties]

_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1",
)
_ODD_AGENTS = ("", 'ExampleTV/3.1 ("living room"; \\ models 2024)', "été/1.0")
_SAYINGS = (
    "gg",
    "that was close",
    "¿a qué hora empieza mañana?",
    "はじめまして 👋",
    "жду следующий матч",
    'he said "one more"',
    "C:\\games\\new",
    "first line\nsecond line\tand a tab",
    "",
    "l" * 230,  # longer than its column, which cuts it
)
_PLATFORMS = ("web", "ios", "android", "tv")
_QUALITIES = ("source", "1080p60", "720p", "480p", "auto")
_CURRENCIES = ("USD", "EUR", "BRL", "JPY")


@dataclass(frozen=True)
class EventGenerator:
    """The world with the dice that decide what happens in it."""

    world: SampleData
    rng: random.Random

    @property
    def agent(self) -> str:
        """A user agent; one in fifty is none, or has quotes and backslashes."""
        agents = _AGENTS if self.rng.random() >= 0.02 else _ODD_AGENTS  # noqa: PLR2004 - as the docstring says
        return self.rng.choice(agents)

    @property
    def login(self) -> str:
        """A login; one in a hundred is of nobody that the users service knows."""
        rng = self.rng
        people = self.world.logins if rng.random() >= 0.01 else self.world.strangers  # noqa: PLR2004 - as the docstring says
        return people[int(rng.random() * len(people))]

    def user(self) -> Properties:
        """A login, and for two clients in three the id as well: as a number, or as text."""
        login = self.login
        user = self.world.users.get(login)
        dice = self.rng.random()
        if user is None or dice < 1 / 3:
            return {"login": login}
        return {"login": login, "user_id": user if dice < 2 / 3 else str(user)}


def login(clients: EventGenerator, now: float) -> Properties:
    """Somebody signs in; the client's clock is some seconds off."""
    rng = clients.rng
    return clients.user() | {
        "time": round(now + rng.uniform(-4, 4), 3),
        "platform": rng.choice(_PLATFORMS),
        "success": rng.random() < 0.97,  # noqa: PLR2004 - a share
    }


def minute_watched(clients: EventGenerator, _now: float) -> Properties:
    """A minute of video was watched. Old clients send no volume, a few send null."""
    rng = clients.rng
    properties = clients.user() | {
        "channel": rng.choice(clients.world.channels),
        "broadcast_id": rng.randrange(40_000_000_000, 40_000_100_000),
        "minutes_logged": rng.choice((1,) * 20 + ("1", 2)),
        "bitrate": round(rng.gauss(4500, 900), 2),
        "quality": rng.choice(_QUALITIES),
        "live": rng.random() < 0.8,  # noqa: PLR2004 - a share
    }
    dice = rng.random()
    if dice < 0.9:  # noqa: PLR2004 - a share
        properties["volume"] = round(dice, 4)
    elif dice < 0.92:  # noqa: PLR2004 - a share
        properties["volume"] = None
    return properties


def purchase(clients: EventGenerator, now: float) -> Properties:
    """Something was bought: a local time without a zone, and Unix seconds."""
    rng = clients.rng
    price = rng.choice((0.99, 4.99, 9.99, 24.99, 99.5))
    return clients.user() | {
        "transaction_id": rng.randrange(10**12, 10**13),
        "sku": f"sku-{rng.randrange(400)}",
        "price": price,
        "tax": round(price * 0.19, 2),
        "currency": rng.choice(_CURRENCIES),
        "quantity": rng.choice((1, 1, 1, 2, 5)),
        "gift": rng.choice((True, False, 1, 0)),
        "purchased_at": datetime.fromtimestamp(int(now), PACIFIC).strftime("%Y-%m-%dT%H:%M:%S"),
        "delivered": int(now) + rng.randrange(1, 600),
    }


def chat_message(clients: EventGenerator, now: float) -> Properties:
    """Something was said, in any language, with line breaks, quotes and backslashes."""
    rng = clients.rng
    return {
        "login": clients.login,
        "channel": rng.choice(clients.world.channels),
        "body": rng.choice(_SAYINGS),
        "sent": int(now) - rng.randrange(3),
        "badges": rng.randrange(6),
        "subscriber": rng.random() < 0.3,  # noqa: PLR2004 - a share
    }


def page_view(clients: EventGenerator, _now: float) -> Properties:
    """A page was looked at: a table that no mistake was made with."""
    rng = clients.rng
    return {
        "url": f"https://www.example.org/{rng.choice(clients.world.channels)}",
        "referrer": rng.choice(("", "https://search.example.com/?q=live", "https://example.net/")),
        "load_ms": rng.randrange(80, 4000),
    }


def untracked(clients: EventGenerator, _now: float) -> Properties:
    """An event that nobody has made a table for yet."""
    return {"variant": clients.rng.choice("AB"), "width": 1280.0, "labels": ["<new>", "été"]}


SHARES: tuple[tuple[str, Maker, int], ...] = (
    ("minute_watched", minute_watched, 42),
    ("chat_message", chat_message, 26),
    ("page_view", page_view, 17),
    ("login", login, 8),
    ("purchase", purchase, 5),
    ("experiment_shown", untracked, 2),
)
"""Events, who makes their properties, and how many of a hundred are of them."""


def moment(seconds: float) -> str:
    """Unix seconds as the edge writes ``receivedAt``: RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat().replace("+00:00", "Z")
