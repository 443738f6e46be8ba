"""The settings tree and its layers."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from si_stream.errors import SettingsError
from si_stream.learning.presets import PRESETS
from si_stream.settings import Settings, as_toml, load_settings, load_with_places, masked
from si_stream.settings.layers import KNOWN_KEYS, SECRET_KEYS

pytestmark = pytest.mark.usefixtures("bare_environment")


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "si-stream.toml"


def complaint(file: Path | None = None, overrides: Mapping[str, Any] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(file, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_any_layer_all_settings_have_their_defaults() -> None:
    assert load_settings() == Settings()


def test_each_layer_goes_over_the_one_below(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def batch_size(overrides: Mapping[str, Any]) -> int:
        return load_settings(toml, overrides).model.batch_size

    toml.write_text('preset = "permuted-mnist"')
    assert batch_size({}) == 256
    toml.write_text('preset = "permuted-mnist"\n[model]\nbatch_size = 10')
    assert batch_size({}) == 10
    monkeypatch.setenv("SI_STREAM_MODEL__BATCH_SIZE", "20")
    assert batch_size({}) == 20
    assert batch_size({"model.batch_size": "30"}) == 30


def test_a_layer_changes_what_it_names_and_nothing_beside_it(toml: Path) -> None:
    toml.write_text("[model.network]\ndropout = false")
    settings = load_settings(toml, {"preset": "permuted-mnist", "model.network.hidden": "5"})
    assert not settings.model.network.dropout
    assert settings.model.network.hidden == (5,)
    assert settings.model.network.head_initialisation == "glorot-uniform"
    assert settings.model.outputs == 10


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_a_model_that_can_be_learned(preset: str) -> None:
    load_settings(overrides={"preset": preset}).require_model()


def test_the_preset_of_a_higher_layer_replaces_the_one_below_wholly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SI_STREAM_PRESET", "permuted-mnist")
    assert load_settings().model.outputs == 10
    replaced = load_settings(overrides={"preset": "split-digits"})
    assert replaced == load_settings(overrides={"preset": "split-digits"})
    assert replaced.model.network.hidden == (256, 256)


@pytest.mark.parametrize("text", ["errors,inputs", '["errors", "inputs"]', "('errors', 'inputs')"])
def test_a_list_of_names_is_read_bare_or_quoted(text: str) -> None:
    found = load_settings(overrides={"detection.signals": text}).detection.signals
    assert found == ("errors", "inputs")


@pytest.mark.parametrize("text", ["28,28", "[28, 28]", "(28, 28)", " 28 , 28 "])
def test_a_list_may_be_written_with_or_without_brackets(text: str) -> None:
    assert load_settings(overrides={"model.input_shape": text}).model.input_shape == (28, 28)


def test_an_override_may_be_a_value_as_well_as_a_text(tmp_path: Path) -> None:
    settings = load_settings(overrides={"directory": tmp_path, "model.input_shape": (3, 8, 8)})
    assert settings.directory == tmp_path
    assert settings.model.input_shape == (3, 8, 8)


def test_a_text_that_looks_like_a_number_stays_a_text_where_one_is_asked_for() -> None:
    assert load_settings(overrides={"stream.name": "007"}).stream.name == "007"


def test_an_empty_environment_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SI_STREAM_DATA", "")
    assert load_settings().data is None


def test_si_stream_data_is_the_data_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SI_STREAM_DATA", str(tmp_path))
    assert load_settings().data == tmp_path


@pytest.mark.parametrize("name", ["SI_STREAM_REQUIRE_REAL", "SI_STREAM_CONFIG"])
def test_a_variable_of_ours_that_is_no_setting_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1")
    assert load_settings() == Settings()


def test_settings_made_in_python_do_not_look_at_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SI_STREAM_PRESET", "split-mnist")
    assert Settings().preset is None


def test_the_embedded_broker_lies_in_the_directory_unless_it_is_chosen() -> None:
    stream = load_settings(overrides={"directory": "elsewhere"}).stream
    assert stream.broker == "embedded:elsewhere/broker.sqlite"
    chosen = load_settings(overrides={"directory": "elsewhere", "stream.broker": "embedded:b"})
    assert chosen.stream.broker == "embedded:b"


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("model.batchsize", "model.batch_size"),
        ("batch_size", "model.batch_size"),
        ("modle.network.hidden", "model.network.hidden"),
        ("presets", "preset"),
    ],
)
def test_an_unknown_key_is_refused_in_every_layer_with_the_nearest_known_one(
    toml: Path, monkeypatch: pytest.MonkeyPatch, wrong: str, meant: str
) -> None:
    expected = f"unknown setting {wrong} ({{}}): did you mean {meant}?"
    assert complaint(overrides={wrong: "1"}) == expected.format("--set")
    toml.write_text(f"{wrong} = 1")
    assert complaint(toml) == expected.format(toml)
    variable = f"SI_STREAM_{wrong.upper().replace('.', '__')}"
    monkeypatch.setenv(variable, "1")
    assert complaint() == expected.format(variable)


def test_an_unknown_key_near_to_none_is_sent_to_the_list() -> None:
    assert "`si-stream config` lists all settings" in complaint(overrides={"zzz.qqq": "1"})


def test_an_unknown_table_is_refused_even_if_it_is_empty(toml: Path) -> None:
    toml.write_text("[modle]")
    assert "unknown setting modle" in complaint(toml)


def test_a_known_table_may_be_empty(toml: Path) -> None:
    toml.write_text("[model]")
    assert load_settings(toml) == Settings()


@pytest.mark.parametrize(
    ("key", "value", "limit"),
    [
        ("model.batch_size", "0", "greater than or equal to 1"),
        ("model.batch_size", "many", "a valid integer"),
        ("model.input_shape", "5,x", "a valid integer"),
        ("optimiser.kind", "adm", "'adam' or 'sgd'"),
        ("optimiser.learning_rate", "nan", "finite"),
        ("stream.name", "two words", "match pattern"),
        ("predictor.port", "65536", "less than or equal to 65535"),
        ("learner.exit_at_end", "perhaps", "a valid boolean"),
        ("preset", "mnist", "one of split-mnist"),
    ],
)
def test_a_bad_value_is_refused_with_its_place_itself_and_the_limit(
    toml: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str, limit: str
) -> None:
    def check(line: str, place: str) -> None:
        assert line.startswith(f"{key} = ")
        assert f"({place})" in line
        assert value.rpartition(",")[2] in line
        assert limit in line

    check(complaint(overrides={key: value}), "--set")
    toml.write_text(f'{key} = "{value}"')
    if key != "model.input_shape":  # in a file it is a list
        check(complaint(toml), str(toml))
    variable = f"SI_STREAM_{key.upper().replace('.', '__')}"
    monkeypatch.setenv(variable, value)
    check(complaint(), variable)


def test_a_value_of_another_type_in_a_file_is_refused(toml: Path) -> None:
    for line in ("directory = 3", "preset = [1]", "model.input_shape = 5", "stream.broker = true"):
        toml.write_text(line)
        assert str(toml) in complaint(toml)


def test_a_group_in_the_place_of_a_setting_is_refused(toml: Path) -> None:
    toml.write_text("snapshots = 3")
    assert complaint(toml).endswith("set snapshots.interval_seconds, snapshots.keep")


def test_a_flag_is_named_in_the_complaint() -> None:
    with pytest.raises(SettingsError, match=r"predictor\.port = .* \(--port\)"):
        load_settings(overrides={"predictor.port": 99999}, flags={"predictor.port": "--port"})


def test_a_file_that_cannot_be_read_or_parsed_is_one_line(toml: Path) -> None:
    assert "No such file" in complaint(toml)
    toml.write_text("[model\n")
    assert "is not TOML" in complaint(toml)
    toml.write_bytes(b"\xff")
    assert "is not TOML" in complaint(toml)


def test_without_a_model_a_learner_is_offered_the_presets() -> None:
    with pytest.raises(SettingsError, match=r"model\.outputs not set.*--preset split-mnist\|"):
        load_settings(overrides={"model.input_shape": "2,2"}).require_model()


def test_where_labels_are_open_a_learner_needs_no_number_of_outputs() -> None:
    given = {"model.input_shape": "2,2", "model.labels": "open"}
    settings = load_settings(overrides=given)
    settings.require_model()
    assert (settings.model.outputs, settings.model.width) == (0, 100)
    assert load_settings(overrides={"model.outputs": "5"}).model.width == 5
    with pytest.raises(SettingsError, match=r"model\.outputs not set.*model\.labels=open"):
        load_settings(overrides=given | {"model.labels": "fixed"}).require_model()


def test_a_head_cannot_begin_with_more_outputs_than_it_may_have() -> None:
    said = complaint(
        overrides={"model.labels": "open", "model.outputs": "5", "model.max_classes": "4"}
    )
    assert "outputs is 5 and max_classes 4" in said


@pytest.mark.parametrize(
    "password", ["s3cret", "with@sign", "with/slash", "with:colon", "s@/:e@c@ret"]
)
def test_the_password_of_a_url_is_masked_whole(password: str) -> None:
    assert masked(f"kafka://me:{password}@host:9092") == "kafka://me:***@host:9092"


@pytest.mark.parametrize("url", ["embedded:/data/b.sqlite", "kafka://host:9092", "kafka://me@host"])
def test_a_url_without_a_password_is_shown_as_it_is(url: str) -> None:
    assert masked(url) == url


def test_neither_the_shown_settings_nor_a_complaint_holds_a_password() -> None:
    broker = "kafka://me:s3cret@host:9092"
    assert "s3cret" not in as_toml(*load_with_places(overrides={"stream.broker": broker}))
    assert "s3cret" not in complaint(overrides={"model.name": broker})


@pytest.mark.parametrize("preset", PRESETS)
def test_shown_settings_can_be_read_back(toml: Path, preset: str) -> None:
    overrides = {"preset": preset, "directory": 'q"u\\o\tte ω', "consolidator.damping": "1e-9"}
    settings, places = load_with_places(overrides=overrides)
    toml.write_text(as_toml(settings, places), encoding="utf-8")
    assert load_settings(toml) == settings


def test_each_shown_value_that_is_not_a_default_says_where_it_comes_from(
    toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml.write_text("[snapshots]\nkeep = 4")
    monkeypatch.setenv("SI_STREAM_HOLDOUT__SOURCE", "off")
    shown = as_toml(*load_with_places(toml, {"preset": "split-mnist", "model.seed": "7"}))
    lines = shown.splitlines()
    assert 'preset = "split-mnist"  # --set' in lines
    assert "outputs = 2  # preset split-mnist" in lines
    assert f"keep = 4  # {toml}" in lines
    assert 'source = "off"  # SI_STREAM_HOLDOUT__SOURCE' in lines
    assert "seed = 7  # --set" in lines
    assert 'dtype = "uint8"' in lines
    assert tomllib.loads(shown)["model"]["seed"] == 7


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().model.batch_size = 3  # type: ignore[misc]


WEB = "tls_certificate_file tls_key_file max_connections max_requests_per_second trusted_proxies"
SURFACE = {
    "": "preset data directory",
    "stream": "broker name merge retention out_of_range max_message_bytes",
    "kafka": "security_protocol sasl_mechanism username password password_file ca_file "
    "certificate_file key_file connect_timeout_seconds request_timeout_seconds "
    "delivery_timeout_seconds compression replication_factor min_insync_replicas "
    "retention_hours group",
    "model": "name input_shape dtype outputs labels max_classes heads batch_size seed",
    "model.network": "kind hidden hidden_dropout module dropout head_initialisation",
    "optimiser": "kind learning_rate beta1 beta2 epsilon epsilon_placement keep_over_boundary",
    "consolidator": "kind strength damping decay fisher_samples trunk_rate",
    "compute": "device threads kernel",
    "boundaries": "mode every_samples max_tasks",
    "detection": "kind window_samples min_evidence_nats min_task_samples told_within_samples "
    "max_boundaries cap_samples returning signals",
    "holdout": "source capacity share evaluation_interval_steps",
    "plasticity": "first_samples",
    "checkpoints": "interval_seconds keep keep_at_boundaries",
    "snapshots": "interval_seconds keep",
    "learner": f"{WEB} shadow exit_at_end metrics_host metrics_port token token_file read_token "
    "read_token_file accept_changes niceness",
    "predictor": f"{WEB} host port token token_file max_body_bytes max_inputs "
    "poll_interval_seconds threads source source_token source_token_file source_ca_file "
    "max_waiting deadline_seconds batch_window_seconds",
    "log": "format level",
}


def test_the_settings_are_these() -> None:
    """A change here is a change for everyone who has a settings file."""
    listed = {
        f"{group}.{name}".removeprefix(".")
        for group, names in SURFACE.items()
        for name in names.split()
    }
    assert set(KNOWN_KEYS) == listed


@pytest.mark.parametrize("key", sorted(SECRET_KEYS))
def test_a_secret_is_in_no_complaint(key: str, tmp_path: Path) -> None:
    complaints = []
    for secret, more in (("x7Q", {}), ("a-secret-x7Q", {f"{key}_file": tmp_path / "secret"})):
        try:
            loaded = load_with_places(None, {key: secret, **more})
        except SettingsError as error:
            complaints.append(str(error))
        else:
            complaints.append(as_toml(loaded.settings, loaded.places))
    assert any("both set; keep one" in complaint for complaint in complaints)
    assert not [complaint for complaint in complaints if "x7Q" in complaint]


def test_these_are_the_secrets() -> None:
    named = {key for key in KNOWN_KEYS if key.endswith(("token", "password"))}
    assert named == SECRET_KEYS


def test_a_request_cannot_be_made_to_wait_for_others_past_its_deadline() -> None:
    told = r"batch_window_seconds 0\.5 is no less than deadline_seconds 0\.5, .* make it a few"
    window = {"predictor.batch_window_seconds": 0.5}
    with pytest.raises(SettingsError, match=told):
        load_settings(overrides=window | {"predictor.deadline_seconds": 0.5})
    load_settings(overrides=window | {"predictor.deadline_seconds": 0.6})


def test_a_certificate_without_its_key_is_refused_and_a_proxy_that_has_no_address(
    tmp_path: Path,
) -> None:
    with pytest.raises(SettingsError, match="one is set alone; set both for HTTPS, or neither"):
        load_settings(overrides={"learner.tls_key_file": tmp_path / "tls.key"})
    for proxies in ("proxy.example.org", "10.0.0.0/99", "10.0.0.1/8"):
        with pytest.raises(SettingsError, match="should be IP addresses or networks"):
            load_settings(overrides={"predictor.trusted_proxies": proxies})
    loaded = load_settings(overrides={"predictor.trusted_proxies": "10.0.0.0/8,::1"})
    assert loaded.predictor.trusted_proxies == ("10.0.0.0/8", "::1")
