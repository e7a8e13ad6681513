"""Addresses and settings of Kafka: read strictly, and no secret is ever shown."""

import pytest

from firstlight.errors import SettingsError
from firstlight.stream.io.kafka_config import KafkaAddress, KafkaConfig, read_kafka_config, start_time

SECRET = "swordfish"


def test_an_address_names_brokers_and_a_topic():
    address = KafkaAddress.parse("kafka://one.example:9092,[::1]:9093/alerts.v1")
    assert (address.servers, address.topic) == ("one.example:9092,[::1]:9093", "alerts.v1")
    assert str(address) == "kafka://one.example:9092,[::1]:9093/alerts.v1"
    assert KafkaAddress.parse(address) == address


@pytest.mark.parametrize(
    "url",
    [
        "kafka://host/topic",
        "kafka://host:9092",
        "kafka://host:9092/",
        "kafka://h:1/a b",
        "host:9092/t",
        "kafka://,h:1/t",
    ],
)
def test_wrong_addresses_are_refused(url):
    with pytest.raises(SettingsError, match="no address of a topic: give kafka://host:port"):
        KafkaAddress.parse(url)


def test_a_source_may_name_several_topics_and_patterns():
    address = KafkaAddress.parse("kafka://h:1/lsst,^ztf_[0-9]{8,8}_programid1$", several=True)
    assert address.topics == ("lsst", "^ztf_[0-9]{8,8}_programid1$")
    assert address.is_several
    assert [
        address.has(name) for name in ("lsst", "lsst2", "ztf_20261127_programid1", "ztf_1_programid1")
    ] == [
        True,
        False,
        True,
        False,
    ]
    assert not KafkaAddress.parse("kafka://h:1/lsst", several=True).is_several
    assert KafkaAddress.parse("kafka://h:1/^one$", several=True).is_several
    with pytest.raises(SettingsError, match="no address of a topic"):
        KafkaAddress.parse("kafka://h:1/a,b")  # results go to one topic


@pytest.mark.parametrize(
    ("topics", "message"),
    [("a,,b", "'' is no name of a topic"), ("a b,c", "a pattern begins with"), ("^ztf_(", "is broken")],
)
def test_topics_that_cannot_be_are_refused(topics, message):
    with pytest.raises(SettingsError, match=message):
        KafkaAddress.parse(f"kafka://h:1/{topics}", several=True)


def test_a_start_is_a_word_or_a_date():
    assert [start_time(text) for text in ("earliest", "latest", "1970-01-02", "1970-01-01T02:00+02:00")] == [
        None,
        -1,
        86_400_000,
        0,
    ]
    with pytest.raises(SettingsError, match="give earliest, latest or a date in UTC"):
        start_time("yesterday")


def test_a_password_in_an_address_is_refused_and_not_shown():
    with pytest.raises(SettingsError, match="passwords go into the file") as caught:
        KafkaAddress.parse(f"kafka://me:{SECRET}@host:9092/topic")
    assert SECRET not in str(caught.value)


def test_toml_and_properties_say_the_same(tmp_path):
    (tmp_path / "k.toml").write_text(
        f'security.protocol = "SASL_SSL"\n"linger.ms" = 5\n[sasl]\nusername = "me"\npassword = "{SECRET}"\n'
    )
    (tmp_path / "k.properties").write_text(
        "# mine\n\n! and\nsecurity.protocol=SASL_SSL\nlinger.ms = 5\n"
        f"sasl.username=me\nsasl.password = {SECRET}\n"
    )
    toml, properties = read_kafka_config(tmp_path / "k.toml"), read_kafka_config(tmp_path / "k.properties")
    assert {name: str(value) for name, value in toml.values.items()} == properties.values
    assert properties.values["sasl.password"] == SECRET
    assert toml.secrets == properties.secrets == (SECRET,)


def test_a_value_may_hold_an_equals_sign(tmp_path):
    (tmp_path / "k").write_text("sasl.password=a=b=\n")
    assert read_kafka_config(tmp_path / "k").values == {"sasl.password": "a=b="}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("k.toml", f'sasl.password = "{SECRET}'),
        ("k.toml", f'sasl.password = ["{SECRET}"]'),
        ("k.properties", f"sasl.password {SECRET}"),
        ("k.properties", f"={SECRET}"),
        ("k.properties", f"acks=1\nsasl.password={SECRET}"),
        ("k.toml", f'enable.auto.commit = true\nsasl.password = "{SECRET}"'),
    ],
)
def test_a_bad_file_is_refused_without_showing_its_values(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_kafka_config(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None  # a traceback would show the cause's text


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(SettingsError, match="none: No such file"):
        read_kafka_config(tmp_path / "none")
    (tmp_path / "latin").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="not UTF-8"):
        read_kafka_config(tmp_path / "latin")


def test_secrets_are_shown_neither_by_repr_nor_in_texts():
    config = KafkaConfig(
        {
            "sasl.password": SECRET,
            "ssl.key.password": SECRET + "2",
            "ssl.key.pem": "-----BEGIN",
            "sasl.oauthbearer.client.secret": "hush",
            "sasl.username": "me",
            "ssl.truststore.password": "",
        },
        "k.toml",
    )
    assert config.secrets == ("-----BEGIN", SECRET + "2", SECRET, "hush")
    for text in (repr(config), str(config), f"{config}"):
        assert not any(secret in text for secret in config.secrets)
        assert "sasl.password" in text
    assert config.hide(f"bad {SECRET}2 and {SECRET}, me") == "bad *** and ***, me"


def test_settings_of_delivery_cannot_be_set():
    with pytest.raises(SettingsError, match=r"enable\.auto\.commit cannot be set"):
        KafkaConfig({"enable.auto.commit": True})


def test_of_a_configuration_of_the_stream_its_table_counts_and_variables_are_filled_in(tmp_path, monkeypatch):
    monkeypatch.setenv("STREAM_PASSWORD", "sword${}fish")
    path = tmp_path / "stream.toml"
    path.write_text(
        'batch = 3\n[limits]\nname_bytes = 9\n[kafka]\nsasl.password = "a-${STREAM_PASSWORD}"\nretries = 2\n'
    )
    config = read_kafka_config(path)
    assert config.values == {"sasl.password": "a-sword${}fish", "retries": 2}
    assert config.secrets == ("a-sword${}fish",)
    monkeypatch.delenv("STREAM_PASSWORD")
    with pytest.raises(SettingsError, match="STREAM_PASSWORD, which is not set"):
        read_kafka_config(path)
