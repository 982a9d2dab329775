"""Settings: each from one place, and it says from which."""

from pathlib import Path

import pytest

from onlogit.config import HELP, read
from onlogit.daemon.refusals import Refusal
from onlogit.daemon.security import Gate, check_exposure, read_tokens
from onlogit.daemon.settings import ServerSettings, Settings
from onlogit.daemon.sources import flat, places, resolve
from onlogit.errors import ConfigError


def test_a_later_source_wins_and_is_named(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text('[server]\nport = 1\nhost = "::1"\n[belief]\nhalf_lives = [100.0]\n[sgd]\nrate = 1\n')
    environ = {"ONLOGIT_PORT": "2", "ONLOGIT_MAX_ROWS": "77", "ONLOGIT_PLAIN_HTTP": "yes"}
    settings, origins = resolve(str(file), {"port": 3}, environ)
    assert (settings.server.port, settings.server.host, settings.server.max_rows) == (3, "::1", 77)
    assert settings.model.belief.half_lives == (100.0,)
    assert settings.server.plain_http
    found = {name: origins[f"server.{name}"] for name in ("port", "host", "max_rows", "max_body")}
    assert found == {"port": "--port", "host": f"file {file}", "max_rows": "ONLOGIT_MAX_ROWS", "max_body": "default"}
    assert flat(settings)["sgd.rate"] == 1.0


def test_known_flips_of_labels(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text("label_noise = {fp = 0.2, fn = 0.1}\n")
    settings, origins = resolve(str(file), {"noise_fn": 0.3}, {})
    assert (settings.model.label_noise.fp, settings.model.label_noise.fn) == (0.2, 0.3)
    assert origins["label_noise.fn"] == "--noise-fn"
    assert resolve(None, {}, {"ONLOGIT_NOISE_FP": "0.25"})[0].model.label_noise.fp == 0.25
    with pytest.raises(ConfigError, match=r"label_noise\.fp = 0\.5 is out of range: a share from 0 to below \.5"):
        resolve(None, {"noise_fp": 0.5}, {})


def test_costs_stand_in_their_own_table_and_flags_are_instead(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text("[decisions]\nreview = 0.05\n[decisions.tiers]\noffer = 0.9\n")
    settings, origins = resolve(str(file), {}, {})
    assert settings.decisions == {"review": 0.05, "tiers": {"offer": 0.9}}
    assert flat(settings)["decisions.tiers.offer"] == 0.9
    assert origins["decisions.tiers.offer"] == f"file {file}"
    assert not [name for name in flat(settings) if name in ("monitor.costs", "monitor.thresholds")]
    settings, origins = resolve(str(file), {}, {}, {"cost_fp": 5.0, "cost_fn": 1.0})
    assert settings.decisions == {"review": 0.05, "cost_fp": 5.0, "cost_fn": 1.0}
    assert origins["decisions.cost_fp"] == "flags"
    for text, says in (
        ("[monitor]\ncosts = [1.0, 5.0]", r"monitor.costs is made from the table \[decisions\]"),
        ("[decisions]\ncost_fp = -1\ncost_fn = 1", "cost_fp = -1"),
        ("[decisions]\ncots = 1", "decisions: unknown setting 'cots'"),
        ("decisions = 3", "decisions = 3 is out of range: a table"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigError, match=says):
            resolve(str(file), {}, {})


def test_every_setting_has_a_flag_of_its_own() -> None:
    options = [place.option for place in places()]
    assert len(set(options)) == len(options)
    assert set(HELP) <= {place.name.rpartition(".")[2] for place in places()}
    texts = [place.help for place in places()]
    assert len(set(texts)) == len(texts)
    assert all(text.endswith(".") and len(text) > 10 for text in texts)


def test_a_patience_says_its_unit_from_any_source(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text('[monitor]\npatience = "12h"\n')
    for found, origin in (
        (resolve(str(file), {}, {}), f"file {file}"),
        (resolve(None, {}, {"ONLOGIT_PATIENCE": "12h"}), "ONLOGIT_PATIENCE"),
        (resolve(None, {"patience": "12h"}, {"ONLOGIT_UNIT": "days"}), "--patience"),
    ):
        assert (found[0].model.monitor.patience, found[0].model.monitor.unit) == (12.0, "hours")
        assert found[1]["monitor.patience"] == found[1]["monitor.unit"] == origin
    settings, origins = resolve(str(file), {"patience": ".5", "unit": "days"}, {})
    assert (settings.model.monitor.patience, settings.model.monitor.unit) == (0.5, "days")
    assert origins["monitor.unit"] == "--unit"
    assert read(str(file))[1].monitor.unit == "hours"
    file.write_text('[monitor]\npatience = 90\nunit = "days"\n')
    for flags, environ, amount, unit, origin in (  # a plain number is in events, as `learn` reads it
        ({}, {}, 90.0, "days", f"file {file}"),
        ({"patience": "500"}, {}, 500.0, "events", "default"),
        ({}, {"ONLOGIT_PATIENCE": "500"}, 500.0, "events", "default"),
        ({"patience": "12h"}, {}, 12.0, "hours", "--patience"),
        ({"patience": "500", "unit": "weeks"}, {}, 500.0, "weeks", "--unit"),
        ({"patience": "500"}, {"ONLOGIT_UNIT": "weeks"}, 500.0, "weeks", "ONLOGIT_UNIT"),
        ({"unit": "weeks"}, {}, 90.0, "weeks", "--unit"),
    ):
        settings, origins = resolve(str(file), flags, environ)
        assert (settings.model.monitor.patience, settings.model.monitor.unit) == (amount, unit)
        assert origins["monitor.unit"] == origin
    for text in ("12 parsecs", "90y", "inf"):
        with pytest.raises(ConfigError, match=r"patience = .*: a number of events from 1 to 1e15, or a time like 90d"):
            resolve(None, {"patience": text}, {})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[server]\nprot = 1", "unknown setting 'prot'"),
        ("lable = 'late'", "unknown setting 'lable'; did you mean label?"),
        ("[monitors]\nby = []", "unknown setting 'monitors'; did you mean monitor?"),
        (
            "zzz = 1",
            "'zzz'; known are label, .*features, learner, .*monitor, labels, .*, server, .*challengers, decisions$",
        ),
        ("[events]\nlabel = 'late'", "unknown setting 'events'; its settings stand at the top of the file"),
        ("[monitor]\npatince = 1", "unknown setting 'patince'; known are patience, .*, slices, on_alarm$"),
        ("[server]\nport = 70000", "port = 70000"),
        ("[server]\nport = 'x'", "port"),
        ("server = 1", "server has to be a table"),
        ("[keep]\ndurability = 'none'", '"process" or "power"'),
        ("][", "is not TOML"),
        ("features = ['a*b', 'log(']", r"feature 'log\('"),
        ("[[challengers]]\nname = 'one'\nfeatures = ['log(']", r"feature 'log\('"),
    ],
)
def test_what_cannot_be_meant_is_named(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=says):
        resolve(str(file), {}, {})
    with pytest.raises(ConfigError, match="ONLOGIT_PORT = 'x'"):
        resolve(None, {}, {"ONLOGIT_PORT": "x"})


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("keep_days", "inf", "0 to 100,000 days"),
        ("keep_days", "nan", "0 to 100,000 days"),
        ("drain_seconds", "inf", "up to 86,400 seconds"),
        ("checkpoint_seconds", "1e10", "up to 604,800 seconds"),
        ("rate_limit", "inf", "to 1,000,000,000 requests a second"),
        ("max_waiting", "-1", "1 row or more"),
        ("max_waiting", "0", "1 row or more"),
        ("warm_up", "100000000000000000000", "0 to 1,099,511,627,776 labels"),
        ("warm_up", "-1", "0 to 1,099,511,627,776 labels"),
        ("rate", "1e300", "a number from 1e-30 to 1,000,000, or 0 for the learner's own"),
        ("rate", "nan", "a number from 1e-30 to 1,000,000, or 0 for the learner's own"),
    ],
)
def test_what_a_thread_could_not_work_with_is_refused(option: str, value: str, says: str) -> None:
    with pytest.raises(ConfigError, match=rf"{option} = .* is out of range: .*{says}"):
        resolve(None, {option: value}, {})


def test_another_address_than_loopback_needs_tokens_and_tls(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("0123456789abcdef score,learn  # the shop\n\nfedcba9876543210 admin\n")
    known = read_tokens(ServerSettings(tokens=str(tokens)), {"ONLOGIT_TOKENS": "abcdabcdabcdabcd score"})
    assert len(known) == 3
    assert resolve(None, {}, {"ONLOGIT_TOKENS": "abcdabcdabcdabcd score"})[0].server.tokens == ""
    assert resolve(None, {}, {"ONLOGIT_TOKENS_FILE": str(tokens)})[0].server.tokens == str(tokens)
    for host in ("127.0.0.1", "::1", "localhost", "127.9.9.9"):
        check_exposure(ServerSettings(host=host), {})
    with pytest.raises(ConfigError, match="needs tokens"):
        check_exposure(ServerSettings(host="0.0.0.0"), {})
    with pytest.raises(ConfigError, match="needs TLS"):
        check_exposure(ServerSettings(host="example.org"), known)
    check_exposure(ServerSettings(host="0.0.0.0", plain_http=True), known)
    for line in ("0123456789abcdef", "xy score", "0123456789abcdef all"):
        with pytest.raises(ConfigError) as error:
            read_tokens(ServerSettings(), {"ONLOGIT_TOKENS": line})
        assert line.split()[0] not in str(error.value)
    for line, found in (("0123456789abcdef scor,learn", "; found 'scor'"), ("score 0123456789abcdef", "")):
        with pytest.raises(ConfigError) as error:
            read_tokens(ServerSettings(), {"ONLOGIT_TOKENS": line})
        told, _, example = str(error.value).partition(" as in: ")
        assert example.endswith(f" score,learn; scopes are score, learn, admin{found}")
        assert len(read_tokens(ServerSettings(), {"ONLOGIT_TOKENS": example.partition("; ")[0]})) == 1
        assert "0123456789abcdef" not in told + example


def test_a_gate_admits_by_scope_and_by_pace() -> None:
    known = read_tokens(ServerSettings(), {"ONLOGIT_TOKENS": "0123456789abcdef score"})
    gate = Gate(known, 2.0)
    for header, scope, status in (
        (b"", "score", 401),
        (b"Bearer x", "score", 401),
        (b"Bearer 0123456789abcdef", "learn", 403),
    ):
        with pytest.raises(Refusal) as refusal:
            gate.check({b"authorization": header}, "me", scope)
        assert refusal.value.status == status
    gate.check({b"authorization": b"Bearer 0123456789abcdef"}, "me", "score")
    gate.check({b"authorization": b"bearer 0123456789abcdef"}, "me", "score")
    with pytest.raises(Refusal) as refusal:
        gate.check({b"authorization": b"Bearer 0123456789abcdef"}, "me", "score")
    assert refusal.value.status == 429
    assert Settings().server.rate_limit == 0


@pytest.mark.parametrize(
    ("host", "origin", "admitted"),
    [
        (b"127.0.0.1:8642", b"", True),
        (b"localhost:1", b"http://localhost:1", True),
        (b"[::1]:8642", b"", True),
        (b"localhost", b"", True),
        (b"", b"", True),
        (b"evil.example:8642", b"", False),
        (b"127.0.0.1:8642", b"https://evil.example", False),
        (b"127.0.0.1:8642", b"null", False),
        (b"127.0.0.1:8642", b"http://127.0.0.1:9", False),
    ],
)
def test_no_web_page_of_elsewhere_is_let_in(host: bytes, origin: bytes, admitted: bool) -> None:
    gate = Gate({}, 0.0)
    if admitted:
        gate.check({b"host": host, b"origin": origin}, "me", "learn")
    else:
        with pytest.raises(Refusal) as refusal:
            gate.check({b"host": host, b"origin": origin}, "me", "learn")
        assert refusal.value.status == 403
