"""Random sample events, as clients send them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from spade_spark.sandbox.sample_geo_users import SampleData
from spade_spark.window import PACIFIC

Properties = dict[str, Any]
PropertyFactory = Callable[["EventGenerator", float], Properties]

_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1",
)
_UNUSUAL_AGENTS = ("", 'ExampleTV/3.1 ("living room"; \\ models 2024)', "été/1.0")
_MESSAGES = (
    "gg",
    "that was close",
    "¿a qué hora empieza mañana?",
    "はじめまして 👋",
    "жду следующий матч",
    'he said "one more"',
    "C:\\games\\new",
    "first line\nsecond line\tand a tab",
    "",
    "l" * 230,  # longer than its column, so it is truncated
)
_PLATFORMS = ("web", "ios", "android", "tv")
_QUALITIES = ("source", "1080p60", "720p", "480p", "auto")
_CURRENCIES = ("USD", "EUR", "BRL", "JPY")


@dataclass(frozen=True)
class EventGenerator:
    """Generates random events from the sample data."""

    sample: SampleData
    rng: random.Random

    @property
    def agent(self) -> str:
        """A user agent; one in fifty is empty or unusual."""
        agents = _AGENTS if self.rng.random() >= 0.02 else _UNUSUAL_AGENTS  # noqa: PLR2004 - as the docstring says
        return self.rng.choice(agents)

    @property
    def login(self) -> str:
        """A login; one in a hundred is unknown to the users service."""
        rng = self.rng
        logins = self.sample.logins if rng.random() >= 0.01 else self.sample.unknown_logins  # noqa: PLR2004 - as the docstring says
        return logins[int(rng.random() * len(logins))]

    def user(self) -> Properties:
        """A login; in two of three events also the user id, as a number or as text."""
        login = self.login
        user_id = self.sample.users.get(login)
        draw = self.rng.random()
        if user_id is None or draw < 1 / 3:
            return {"login": login}
        return {"login": login, "user_id": user_id if draw < 2 / 3 else str(user_id)}


def login(generator: EventGenerator, now: float) -> Properties:
    """A user logs in; the client's clock is a few seconds off."""
    rng = generator.rng
    return generator.user() | {
        "time": round(now + rng.uniform(-4, 4), 3),
        "platform": rng.choice(_PLATFORMS),
        "success": rng.random() < 0.97,  # noqa: PLR2004 - a share
    }


def minute_watched(generator: EventGenerator, _now: float) -> Properties:
    """A user watches a minute of video. Some clients omit the volume or send null."""
    rng = generator.rng
    properties = generator.user() | {
        "channel": rng.choice(generator.sample.channels),
        "broadcast_id": rng.randrange(40_000_000_000, 40_000_100_000),
        "minutes_logged": rng.choice((1,) * 20 + ("1", 2)),
        "bitrate": round(rng.gauss(4500, 900), 2),
        "quality": rng.choice(_QUALITIES),
        "live": rng.random() < 0.8,  # noqa: PLR2004 - a share
    }
    draw = rng.random()
    if draw < 0.9:  # noqa: PLR2004 - a share
        properties["volume"] = round(draw, 4)
    elif draw < 0.92:  # noqa: PLR2004 - a share
        properties["volume"] = None
    return properties


def purchase(generator: EventGenerator, now: float) -> Properties:
    """A user buys something; ``purchased_at`` is local time, ``delivered`` is in Unix seconds."""
    rng = generator.rng
    price = rng.choice((0.99, 4.99, 9.99, 24.99, 99.5))
    return generator.user() | {
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


def chat_message(generator: EventGenerator, now: float) -> Properties:
    """A user sends a chat message; some have line breaks, quotes, backslashes or non-ASCII text."""
    rng = generator.rng
    return {
        "login": generator.login,
        "channel": rng.choice(generator.sample.channels),
        "body": rng.choice(_MESSAGES),
        "sent": int(now) - rng.randrange(3),
        "badges": rng.randrange(6),
        "subscriber": rng.random() < 0.3,  # noqa: PLR2004 - a share
    }


def page_view(generator: EventGenerator, _now: float) -> Properties:
    """A user views a page. The schema of its table never had a mistake."""
    rng = generator.rng
    return {
        "url": f"https://www.example.org/{rng.choice(generator.sample.channels)}",
        "referrer": rng.choice(("", "https://search.example.com/?q=live", "https://example.net/")),
        "load_ms": rng.randrange(80, 4000),
    }


def untracked(generator: EventGenerator, _now: float) -> Properties:
    """An event without a table."""
    return {"variant": generator.rng.choice("AB"), "width": 1280.0, "labels": ["<new>", "été"]}


SHARES: tuple[tuple[str, PropertyFactory, int], ...] = (
    ("minute_watched", minute_watched, 42),
    ("chat_message", chat_message, 26),
    ("page_view", page_view, 17),
    ("login", login, 8),
    ("purchase", purchase, 5),
    ("experiment_shown", untracked, 2),
)
"""The name of each event, the factory of its properties, and its share in percent."""


def rfc3339(seconds: float) -> str:
    """Format Unix seconds as the edge formats ``receivedAt``: RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat().replace("+00:00", "Z")
