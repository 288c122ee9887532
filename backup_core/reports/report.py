"""All figures of one moment together: overall, by configuration, by client, and what asks for attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta

import pandas as pd

from backup_core.deferred import dataclass
from backup_core.reports import measures
from backup_core.reports.attention import Attention, look_closely
from backup_core.reports.forecast import Forecast, forecast_limit
from backup_core.reports.frames import Frames
from backup_core.reports.records import ClientFigures, Figures
from backup_core.reports.trend import storage_trend

RECENT = timedelta(days=30)
"""What "lately" means for success, failures and requests."""
DEFAULT_RPO = timedelta(hours=48)
"""How old the last good backup may be when nobody says otherwise."""


@dataclass(frozen=True)
class Promises:
    """What is to be kept: the limits that figures are held against."""

    budget_bytes: int | None = None
    """Stored bytes that all configurations together may take; None for no budget."""
    rpo: Mapping[str, timedelta] = field(default_factory=dict)
    """Configuration -> how old its last good backup may be; ``DEFAULT_RPO`` for those not named."""
    windows: Mapping[str, tuple[int, timedelta]] = field(default_factory=dict)
    """Client -> requests that its provider allows, and in how long a time."""


@dataclass(frozen=True)
class Report:
    """Everything that is shown of one moment."""

    made_at: datetime
    overall: Figures
    configurations: tuple[Figures, ...]
    clients: tuple[ClientFigures, ...]
    budget: Forecast | None
    """When ``Promises.budget_bytes`` is reached; None without a budget."""
    attention: tuple[Attention, ...]
    """What a person should look at, the worst first; empty when all is well."""
    daily: Mapping[str, pd.DataFrame]
    """Configuration ("" for all together) -> ``schema.TREND`` by day."""
    monthly: Mapping[str, pd.DataFrame]
    """The same by month."""
    frames: Frames
    promises: Promises


def build_report(frames: Frames, *, now: datetime, promises: Promises | None = None) -> Report:
    """Work out everything from the frames; ``now`` is aware."""
    kept = promises or Promises()
    names = frames.configurations
    scopes: dict[str, Sequence[str]] = {"": names, **{name: [name] for name in names}}
    daily = {scope: storage_trend(frames, "day", configurations=c, now=now) for scope, c in scopes.items()}
    monthly = {scope: storage_trend(frames, "month", configurations=c, now=now) for scope, c in scopes.items()}
    configurations = tuple(_figures(frames, name, [name], daily=daily[name], promises=kept, now=now) for name in names)
    clients = tuple(_client(frames, client, kept, now) for client in sorted(set(frames.clients.values())))
    today = frames.days(pd.Series([pd.Timestamp(now)])).iloc[0].date()
    stored = daily[""]["stored_bytes"]
    budget = forecast_limit(stored, kept.budget_bytes, today=today) if kept.budget_bytes is not None else None
    return Report(
        made_at=now,
        overall=_overall(_figures(frames, "", names, daily=daily[""], promises=kept, now=now), configurations),
        configurations=configurations,
        clients=clients,
        budget=budget,
        attention=look_closely(configurations, clients, budget, frames, today=today),
        daily=daily,
        monthly=monthly,
        frames=frames,
        promises=kept,
    )


def _figures(
    frames: Frames, title: str, names: Sequence[str], *, daily: pd.DataFrame, promises: Promises, now: datetime
) -> Figures:
    runs = frames.runs[frames.runs["configuration"].isin(names) & (frames.runs["kind"] == "backup")]
    recent = runs[runs["started"] >= now - RECENT]
    newest = max((at for name in names if (at := measures.last_good(frames, name)) is not None), default=None)
    rpo = promises.rpo.get(title, DEFAULT_RPO)
    age = (now - newest) if newest is not None else None
    checked = frames.validations[frames.validations["configuration"].isin(names)]
    state = daily.iloc[-1] if len(daily) else None
    failed = recent[recent["outcome"] == "failed"]
    space_ratio = measures.known(state["space_ratio"]) if state is not None else None
    compression = measures.compression_ratio(runs)
    return Figures(
        name=title,
        backups=int(state["backups_kept"]) if state is not None else 0,
        newest_at=newest,
        age=age,
        rpo=rpo,
        rpo_met=age is not None and age <= rpo,
        stored_bytes=int(state["stored_bytes"]) if state is not None else 0,
        kept_bytes=int(state["kept_bytes"]) if state is not None else 0,
        newest_bytes=int(state["newest_bytes"]) if state is not None else 0,
        space_ratio=space_ratio,
        dedup_ratio=measures.dedup_ratio(space_ratio, compression),
        compression_ratio=compression,
        growth_per_day=measures.growth_per_day(daily["stored_bytes"]),
        runs=len(recent),
        failed_runs=len(failed),
        success_rate=measures.success_rate(runs, since=now - RECENT),
        last_error=str(failed.iloc[-1]["error"]) if len(failed) else "",
        typical_seconds=measures.known(recent[recent["good"]]["seconds"].median()),
        requests=int(recent["requests"].sum()),
        validated_at=checked.iloc[-1]["at"].to_pydatetime() if len(checked) else None,
        validated_well=bool(checked.iloc[-1]["valid"]) if len(checked) else None,
    )


def _overall(whole: Figures, configurations: Sequence[Figures]) -> Figures:
    """All together is as old as its stalest part."""
    ages = [figures.age for figures in configurations]
    stalest = max((age for age in ages if age is not None), default=None) if None not in ages else None
    met = bool(configurations) and all(figures.rpo_met for figures in configurations)
    return whole.with_age(stalest, met=met)


def _client(frames: Frames, client: str, promises: Promises, now: datetime) -> ClientFigures:
    own = [name for name, at in frames.clients.items() if at == client]
    stored = storage_trend(frames, "day", configurations=own, now=now)["stored_bytes"]
    used, available = _space(frames, client)
    now_stored = int(stored.iloc[-1]) if len(stored) else 0
    today = frames.days(pd.Series([pd.Timestamp(now)])).iloc[0].date()
    requests, window = promises.windows.get(client, (None, timedelta(0)))
    lately = frames.requests[(frames.requests["client"] == client) & (frames.requests["started"] >= now - RECENT)]
    busiest, busiest_at = measures.busiest_window(lately, window) if requests else (0.0, None)
    return ClientFigures(
        name=client,
        configurations=tuple(sorted(own)),
        stored_bytes=now_stored,
        used_bytes=used,
        available_bytes=available,
        room=None if available is None else forecast_limit(stored, now_stored + available, today=today),
        requests=int(lately["requests"].sum()),
        window_requests=requests,
        window=window if requests else None,
        busiest_requests=busiest,
        busiest_at=busiest_at,
    )


def _space(frames: Frames, client: str) -> tuple[int | None, int | None]:
    """(used, available) bytes as the client's server last said."""
    said = frames.spaces[frames.spaces["client"] == client]
    if said.empty:
        return None, None
    used, available = (
        None if pd.isna(value) else int(value) for value in said.iloc[-1][["used_bytes", "available_bytes"]]
    )
    return used, available
