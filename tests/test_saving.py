"""Model files: what is saved comes back, what is listed is whole, what others made is refused unless plain."""

import copy
import hashlib
import io
import json
import os
import pickle
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from deconv_core.errors import ModelError
from deconv_core.models import checking, saving
from deconv_core.models.saving import (
    ALLOWED_LAYERS,
    Limits,
    import_model,
    list_models,
    load_model,
    read_card,
    save_model,
    update_card,
    verify_file,
)

ROOT = Path(__file__).resolve().parent.parent


def small_model():
    """A named functional model of stride 4 that uses one of our own layers."""
    import keras

    from deconv_core.models.layers import DepthToSpace

    picture = keras.Input((None, None, 3), name="picture")
    x = keras.layers.Conv2D(6, 4, strides=4, activation="relu", name="encode_1")(picture)
    x = keras.layers.BatchNormalization(name="encode_2")(x)
    code = keras.layers.Conv2D(2, 1, name="code")(x)
    x = keras.layers.Conv2D(48, 1, activation="sigmoid", name="decode_1")(code)
    return keras.Model(picture, DepthToSpace(4, name="unfold")(x), name="small")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The model, its file and its card."""
    model = small_model()
    path = tmp_path_factory.mktemp("made") / "small.keras"
    return model, path, save_model(model, path, {"label": "Small", "channels": 3, "stride": 4})


@pytest.fixture
def members(made):
    with zipfile.ZipFile(made[1]) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def config(members):
    return json.loads(members["config.json"])


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty workspace, and a zoo of the test's own."""
    monkeypatch.setenv("DECONV_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(saving, "ZOO", tmp_path / "zoo")
    (tmp_path / "zoo").mkdir()
    (tmp_path / "home" / "models").mkdir(parents=True)
    return tmp_path / "home"


def write_zip(path, members, **changes):
    """A .keras file from members; `config` replaces the config, `weights` the bytes of the weights."""
    members = dict(members)
    if "config" in changes:
        members["config.json"] = json.dumps(changes["config"]).encode()
    if "weights" in changes:
        members["model.weights.h5"] = changes["weights"]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def layer(config, name):
    return next(entry for entry in config["config"]["layers"] if entry["config"]["name"] == name)


# ------------------------------------------------------------------------------------------------- saving and loading


def test_saved_model_comes_back_equal(made):
    model, path, card = made
    loaded = load_model(path)
    batch = np.random.default_rng(0).uniform(0, 1, (2, 32, 32, 3)).astype(np.float32)
    # The layers and weights are the same; only the order of sums in the compiled graph may differ.
    np.testing.assert_allclose(loaded.reconstruct(batch), model(batch, training=False), rtol=0, atol=1e-6)
    assert loaded.encode(batch).shape == (2, 8, 8, 2)
    assert (loaded.stride, loaded.channels, loaded.digest) == (4, 3, card["digest"])
    assert load_model(str(path)) is loaded


def test_card_is_filled_from_the_file(made):
    model, path, card = made
    assert read_card(path) == card
    assert card["label"] == "Small"
    assert card["parameters"] == model.count_params()
    assert card["bytes"] == path.stat().st_size
    assert set(card["versions"]) == {"python", "tensorflow", "keras"}
    assert sorted(file.name for file in path.parent.iterdir()) == ["small.json", "small.keras"]


def test_card_is_updated_and_the_model_follows(made, tmp_path):
    path = tmp_path / "small.keras"
    card = save_model(made[0], path, {"channels": 3, "stride": 4})
    before = load_model(path)
    assert update_card(path, laws={"recon": {"passed": True}}) == {**card, "laws": {"recon": {"passed": True}}}
    assert load_model(path) is not before
    assert load_model(path).card["laws"] == {"recon": {"passed": True}}
    with pytest.raises(ModelError, match="takes digest from its file"):
        update_card(path, digest="0")
    with pytest.raises(ModelError, match="cannot be written as JSON"):
        update_card(path, measures={"psnr": float("inf")})


def test_same_weights_give_the_same_bytes_without_the_optimiser(made, tmp_path):
    import keras

    model = keras.models.clone_model(made[0])
    model.set_weights(made[0].get_weights())
    model.compile("adam", "mse")
    batch = np.zeros((1, 8, 8, 3), np.float32)
    model.optimizer.learning_rate = 0.0
    assert save_model(model, tmp_path / "small.keras", {})["digest"] == made[2]["digest"]
    model.set_weights([weight + 0.5 for weight in model.get_weights()])
    assert save_model(model, tmp_path / "small.keras", {})["digest"] != made[2]["digest"]
    assert model.compiled
    assert model(batch).shape == batch.shape


def test_save_refuses_what_could_not_be_read_again(made, tmp_path):
    import keras

    picture = keras.Input((None, None, 1))
    model = keras.Model(picture, keras.layers.Lambda(lambda x: x, name="trick", output_shape=(None, None, 1))(picture))
    with pytest.raises(ModelError, match=r"it holds a (__lambda__|Lambda)"):
        save_model(model, tmp_path / "trick.keras", {})
    assert list(tmp_path.glob("*.keras")) == []
    with pytest.raises(ModelError, match=r"saved as NAME\.keras; got 'small\.h5'"):
        save_model(made[0], tmp_path / "small.h5", {})
    with pytest.raises(ModelError, match="cannot be written as JSON"):
        save_model(made[0], tmp_path / "small.keras", {"measures": {"psnr": float("nan")}})
    assert list(tmp_path.glob("*.keras")) == []


def test_load_refuses_another_file_under_the_same_card(made, members, tmp_path):
    _, path, card = made
    (tmp_path / "small.json").write_text(path.with_suffix(".json").read_text())
    write_zip(tmp_path / "small.keras", members)
    with pytest.raises(ModelError, match=f"its card says {card['digest'][:12]}"):
        load_model(tmp_path / "small.keras")


def test_load_verifies_even_when_the_digest_agrees(made, members, config, tmp_path):
    layer(config, "code")["class_name"] = "Lambda"
    path = write_zip(tmp_path / "small.keras", members, config=config)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".json").write_text(json.dumps({**made[2], "digest": digest}))
    with pytest.raises(ModelError, match=r"it holds a Lambda \(layer 'code'\)"):
        load_model(path)


def test_weights_that_do_not_fit_the_layers_are_one_sentence(made, members, config, tmp_path):
    layer(config, "code")["config"]["use_bias"] = False
    path = write_zip(tmp_path / "small.keras", members, config=config)
    path.with_suffix(".json").write_text(json.dumps({**made[2], "digest": verify_file(path)["digest"]}))
    with pytest.raises(ModelError, match=r"Keras cannot load 'small\.keras' \(ValueError"):
        load_model(path)


def test_unknown_names_list_the_known_ones(made, home):
    with pytest.raises(ModelError, match=r"There is no model 'nothing'; choose one of \(none here yet\)"):
        load_model("nothing")
    save_model(made[0], home / "models" / "mine.keras", {"channels": 3, "stride": 4})
    with pytest.raises(ModelError, match="choose one of mine"):
        load_model("mine_")
    assert load_model("mine").name == "mine"


def test_list_shows_bundled_first_and_broken_ones_with_their_reason(made, home, tmp_path):
    card = {"label": "Small", "channels": 3, "stride": 4}
    save_model(made[0], tmp_path / "zoo" / "small.keras", card)
    models = home / "models"
    save_model(made[0], models / "small.keras", card)
    save_model(made[0], models / "cut.keras", card)
    (models / "cut.keras").write_bytes((models / "cut.keras").read_bytes()[:-1])
    (models / "alone.keras").write_bytes(made[1].read_bytes())
    (models / "lost.json").write_text((models / "cut.json").read_text().replace('"cut"', '"lost"'))
    (models / "torn.json").write_text('{"name": "torn", ')
    (models / "short.json").write_text('{"name": "short", "digest": "0", "channels": true}')
    found = {model["name"]: model for model in list_models()}
    assert list(found) == ["small", "alone", "cut", "lost", "short", "torn"]
    assert (found["small"]["origin"], found["small"]["reason"]) == ("bundled", "")
    assert "has no card 'alone.json'" in found["alone"]["reason"]
    assert "is not the one its card describes" in found["cut"]["reason"]
    assert "'lost.keras' is missing" in found["lost"]["reason"]
    assert "cannot be read" in found["torn"]["reason"]
    assert "no usable 'channels' (got True, expected int)" in found["short"]["reason"]


# ---------------------------------------------------------------------------------------------- the report on a file


def test_report_of_a_plain_file(made):
    report = verify_file(made[1])
    assert report["layers"] == {
        "BatchNormalization": 1,
        "Conv2D": 3,
        "DepthToSpace": 1,
        "Functional": 1,
        "InputLayer": 1,
    }
    assert report["parameters"] == report["estimated_parameters"] == made[0].count_params()
    assert (report["input_channels"], report["input_size"]) == (3, [None, None])
    assert set(report["members"]) == {"config.json", "metadata.json", "model.weights.h5"}
    assert len(report["digest"]) == 64
    assert all(sentence.endswith(".") for sentence in report["checks"])
    json.dumps(report)


def test_every_allowed_layer_passes_as_keras_writes_it(tmp_path):
    """All kinds in one model, compiled, with parts given as objects; and the estimate is what Keras counts."""
    import keras
    from keras import layers

    from deconv_core.models.layers import DepthToSpace, DivisiveNormalisation, SpaceToDepth

    picture = keras.Input((16, 16, 3), dtype="float32")
    x = layers.Rescaling(2.0, offset=-1.0)(picture)
    x = SpaceToDepth(2)(x)
    x = layers.Conv2D(
        8,
        3,
        padding="same",
        activation=layers.LeakyReLU(0.1),
        kernel_regularizer="l2",
        kernel_constraint=keras.constraints.MaxNorm(2.0),
        kernel_initializer=keras.initializers.HeNormal(seed=1),
        activity_regularizer=keras.regularizers.L1(0.1),
    )(x)
    for each in (
        layers.BatchNormalization(),
        layers.LayerNormalization(),
        layers.GroupNormalization(groups=4),
        layers.RMSNormalization(),
        layers.UnitNormalization(),
        layers.Activation("relu"),
        layers.ReLU(max_value=6.0),
        layers.LeakyReLU(),
        layers.PReLU(shared_axes=[1, 2]),
        layers.ELU(),
        layers.Softmax(),
        layers.Identity(),
        layers.Dropout(0.1, seed=3),
        layers.SpatialDropout2D(0.1),
        layers.GaussianNoise(0.1),
        layers.GaussianDropout(0.1),
        layers.ActivityRegularization(l1=0.1),
        DivisiveNormalisation(),
        layers.ZeroPadding2D(((1, 0), (1, 0))),
        layers.Cropping2D(((1, 0), (1, 0))),
        layers.SeparableConv2D(8, 3, padding="same"),
        layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, dtype="mixed_bfloat16"),
        layers.Dense(8, activation="gelu"),
        layers.AveragePooling2D(2, strides=1, padding="same"),
        layers.MaxPooling2D(2),
        layers.UpSampling2D(2, interpolation="bilinear"),
        layers.Conv2DTranspose(8, 3, padding="same", dtype="mixed_bfloat16"),
        keras.Sequential([keras.Input((8, 8, 8)), layers.Conv2D(8, 1)]),
    ):
        x = each(x)
    squeezed = layers.Dense(8)(layers.GlobalAveragePooling2D()(x))
    gate = layers.Reshape((1, 1, 8))(layers.Flatten()(squeezed))
    peak = layers.GlobalMaxPooling2D(keepdims=True)(x)
    x = layers.Multiply()([x, gate])
    x = layers.Subtract()([x, layers.Average()([peak, gate])])
    x = layers.Maximum()([x, layers.Minimum()([x, x])])
    x = layers.Concatenate()([layers.Add()([x, x]), x])
    inner_in = keras.Input((8, 8, 16))
    inner = keras.Model(inner_in, layers.Conv2D(12, 1)(inner_in))
    x = DepthToSpace(2)(inner(x))
    x = keras.ops.clip(keras.ops.divide(-x * 2.0 + 1.0 - x, 2.0) / 2.0, 0.0, 1.0)
    model = keras.Model(picture, x)
    model.compile("adam", keras.losses.MeanSquaredError(), metrics=["mae", keras.metrics.MeanSquaredError()])
    model.save(tmp_path / "all.keras")
    report = verify_file(tmp_path / "all.keras")
    assert report["parameters"] == model.count_params()
    # Counted from the config alone, biases included everywhere: never too little, and hardly too much.
    assert model.count_params() <= report["estimated_parameters"] <= 1.1 * model.count_params()
    assert set(report["layers"]) == set(ALLOWED_LAYERS)


def test_refusing_loads_neither_tensorflow_nor_keras(members, config, tmp_path):
    layer(config, "code")["class_name"] = "Lambda"
    path = write_zip(tmp_path / "trick.keras", members, config=config)
    script = (
        "import sys\n"
        "from deconv_core.errors import ModelError\n"
        "from deconv_core.models.saving import import_model, list_models, verify_file\n"
        "for function in (verify_file, import_model):\n"
        "    try:\n"
        "        function(sys.argv[1])\n"
        "        sys.exit('accepted')\n"
        "    except ModelError as error:\n"
        "        assert 'Lambda' in str(error), error\n"
        "verify_file(sys.argv[2])\n"
        "list_models()\n"
        "print([name for name in ('tensorflow', 'keras', 'streamlit') if name in sys.modules])\n"
    )
    good = write_zip(tmp_path / "good.keras", members)
    command = [sys.executable, "-c", script, str(path), str(good)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


# ------------------------------------------------------------------------------------------------- not a .keras file


def test_other_formats_are_named(made, members, tmp_path):
    def refusal(name, data):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(ModelError) as caught:
            verify_file(path)
        return str(caught.value)

    keras_bytes = made[1].read_bytes()
    assert "is an HDF5 file (the old .h5 format)" in refusal("old.h5", members["model.weights.h5"])
    assert "is an HDF5 file" in refusal("renamed.keras", members["model.weights.h5"])
    assert "is a Python pickle, which runs code" in refusal("model.keras", pickle.dumps({"a": 1}))
    assert "is a packed archive" in refusal("model.keras", b"\x1f\x8b" + bytes(100))
    assert "is not a .keras file" in refusal("model.keras", b"hello, this is text")
    assert "is not a .keras file" in refusal("empty.keras", b"")
    assert "does not end in .keras" in refusal("model.zip", keras_bytes)
    assert "a zip that Keras did not write" in refusal("model.keras", keras_bytes[:-30])
    assert "a zip that Keras did not write" in refusal("model.keras", keras_bytes + b"more")
    assert "do not add up" in refusal("model.keras", keras_bytes[:4] + keras_bytes)
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ModelError, match="is a TensorFlow SavedModel folder"):
        verify_file(tmp_path / "saved")
    with pytest.raises(ModelError, match="cannot be read"):
        verify_file(tmp_path / "nowhere.keras")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.keras")
        with pytest.raises(ModelError, match="is not a regular file"):
            verify_file(tmp_path / "pipe.keras")


def test_bytes_of_a_second_directory_are_refused(made, tmp_path):
    """A ZIP64 locator before the end record would send zipfile to a directory of the attacker's choice."""
    data = made[1].read_bytes()
    path = tmp_path / "model.keras"
    path.write_bytes(data[:-22] + b"PK\x06\x07" + bytes(16) + data[-22:])
    with pytest.raises(ModelError, match="a zip that Keras did not write"):
        verify_file(path)


def test_other_zips_are_refused(members, tmp_path):
    path = tmp_path / "model.keras"
    for names, sentence in (
        ({"readme.txt": b"x"}, r"not a plain Keras 3 model: it holds \['readme.txt'\]"),
        ({**members, "assets/vocabulary.txt": b"x"}, "it holds .'assets/vocabulary.txt'"),
        ({**members, "model.weights.npz": b"x"}, "it holds .'model.weights.npz'"),
        ({"config.json": members["config.json"]}, "it holds too little"),
        ({"archive/data.pkl": b"x", "archive/version": b"3"}, "is a PyTorch file, which is a pickle"),
        ({f"{number}": b"" for number in range(40)}, "a zip of 40 files"),
        ({"x" * 5000: b""}, "a zip of 1 files"),
    ):
        with pytest.raises(ModelError, match=sentence):
            verify_file(write_zip(path, names))


@pytest.mark.parametrize("name", ["../config.json", "/etc/config.json", "a/../../x", "C:\\x", "..\\x", "\\\\server\\x"])
def test_paths_that_lead_elsewhere_are_refused(members, tmp_path, name):
    with pytest.raises(ModelError, match="whose path leads elsewhere"):
        verify_file(write_zip(tmp_path / "model.keras", {**members, name: b"x"}))


def test_links_encryption_and_duplicates_are_refused(members, tmp_path):
    path = tmp_path / "model.keras"

    def build(change):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                info = zipfile.ZipInfo(name)
                if name == "config.json":
                    change(info)
                archive.writestr(info, data)
        return path

    def link(info):
        info.external_attr = (stat.S_IFLNK | 0o777) << 16

    with pytest.raises(ModelError, match=r"a link or special file as config\.json"):
        verify_file(build(link))

    def bzip(info):
        info.compress_type = zipfile.ZIP_BZIP2

    with pytest.raises(ModelError, match=r"packs config\.json in an unusual way"):
        verify_file(build(bzip))
    data = bytearray(write_zip(path, members).read_bytes())
    entry = data.rindex(b"PK\x01\x02")  # of the directory; byte 8 holds the flags
    data[entry + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="is encrypted"):
        verify_file(path)
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        for name, content in [*members.items(), ("config.json", members["config.json"])]:
            archive.writestr(name, content)
    with pytest.raises(ModelError, match="two members of one name"):
        verify_file(path)


def test_zip_bombs_are_refused_unopened(members, tmp_path, monkeypatch):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, bytes(4_000_000) if name == "config.json" else data)

    def never(*_args, **_options):
        raise AssertionError("unpacked")

    monkeypatch.setattr(zipfile.ZipFile, "open", never)
    with pytest.raises(ModelError, match=r"config\.json unpacks to \d+ times its size, as a zip bomb does"):
        verify_file(path)


def test_members_larger_than_allowed_are_refused(members, tmp_path):
    padded = {**members, "config.json": members["config.json"] + b" " * (4 << 20)}
    with pytest.raises(ModelError, match=r"config\.json unpacks to 4,\d+,\d+ bytes; at most 4,194,304"):
        verify_file(write_zip(tmp_path / "model.keras", padded))


def test_damage_is_one_sentence_wherever_it_strikes(made, tmp_path):
    """Flip bytes all over the file: it is refused with a ModelError, or nothing that matters has changed."""
    data = made[1].read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "model.keras"
    refused = 0
    for position in rng.integers(0, len(data), 150):
        broken = bytearray(data)
        broken[position] ^= int(rng.integers(1, 256))
        path.write_bytes(broken)
        try:
            verify_file(path)
        except ModelError:
            refused += 1
    assert refused > 100


# ---------------------------------------------------------------------------------------------- hostile configurations


def refuse(tmp_path, members, config, sentence):
    with pytest.raises(ModelError, match=sentence):
        verify_file(write_zip(tmp_path / "model.keras", members, config=config))


CODE = {"class_name": "__lambda__", "config": {"value": ["4wEA", None, None]}}


def edit_class(entry, **changes):
    entry.update(changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"class_name": "Lambda"}, r"it holds a Lambda \(layer 'code'\), which carries code"),
        ({"class_name": "TFSMLayer"}, "it holds a TFSMLayer"),
        ({"class_name": "TorchModuleWrapper"}, "it holds a TorchModuleWrapper"),
        ({"module": "os", "class_name": "system"}, r"'os\.system' \(layer 'code'\) is not a plain Keras class"),
        ({"module": "my_layers", "registered_name": "my>Conv2D"}, r"'my_layers\.Conv2D'.*not a plain Keras class"),
        ({"module": None}, r"'None\.Conv2D'"),
        ({"module": "kerasx.layers"}, r"'kerasx\.layers\.Conv2D'"),
        ({"module": "keras.src.utils"}, r"claims module keras\.src\.utils .*expected keras\.layers"),
        ({"module": "keras.layers.experimental"}, "claims module"),
        ({"module": "deconv_core.jobs"}, r"claims module deconv_core\.jobs"),
        ({"registered_name": "deconv_core>DepthToSpace"}, "registered name deconv_core>DepthToSpace"),
        ({"registered_name": "Conv2D"}, "registered name Conv2D"),
        ({"module": "keras.utils", "class_name": "get_file"}, r"\(get_file\) is not on the allow-list"),
        ({"class_name": "TimeDistributed"}, "TimeDistributed. is not on the allow-list"),
        ({"class_name": "Bidirectional"}, "Bidirectional. is not on the allow-list"),
        ({"class_name": "RandomFlip"}, "is not on the allow-list"),
        ({"module": "keras.src.ops.numpy", "class_name": "Einsum"}, r"\(Einsum\) is not on the allow-list"),
        ({"module": "keras.src.ops.operation", "class_name": "Operation"}, r"\(Operation\) is not on the allow-list"),
        ({"class_name": ["Conv2D"]}, "an object of the class"),
        ({"class_name": None}, "an object of the class None"),
        ({"class_name": "function", "config": "system", "module": "os"}, r"it names a function of os \(system\)"),
        ({"config": None}, "not written as Keras 3 writes it"),
        ({"surprise": 1}, "unknown entries"),
        ({"build_config": {"input_shape": [None, None, None, 10**7]}}, "is built for 10000000 channels and given 6"),
        ({"build_config": {"input_shape": [10**9, 10**9]}}, "which is out of range"),
        ({"build_config": {"shapes_dict": {}}}, "build settings that are not plain"),
        ({"compile_config": {"optimizer": "adam"}}, "a compiled model inside a model"),
        ({"name": "other"}, "no usable name"),
        ({"shared_object_id": "x"}, "broken shared_object_id"),
    ],
)
def test_layers_that_are_not_plain_are_refused(members, config, tmp_path, changes, sentence):
    layer(config, "code").update(changes)
    refuse(tmp_path, members, config, sentence)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"filters": 10**9}, "filters = 1000000000, which is out of range"),
        ({"filters": -1}, "filters = -1"),
        ({"filters": True}, "filters = True"),
        ({"filters": 8192.0}, r"filters = 8192\.0"),
        ({"filters": 8192}, "'decode_1' expects 2 channels from 'code', which gives 8192"),
        ({"kernel_size": [9999, 1]}, "kernel_size = "),
        ({"kernel_size": [[3, 3], 3]}, "kernel_size = "),
        ({"strides": 0}, "strides = 0"),
        ({"fn": "os.system"}, "a setting 'fn' that is not on the list"),
        ({"function": "x"}, "a setting 'function' that is not on the list"),
        ({"function": CODE}, "it holds a __lambda__"),
        ({"activation": CODE}, "it holds a __lambda__"),
        ({"activation": "eval"}, "activation = eval"),
        ({"activation": ["relu"]}, "activation = "),
        (
            {
                "activation": {
                    "module": "builtins",
                    "class_name": "function",
                    "config": "eval",
                    "registered_name": "eval",
                }
            },
            r"it names a function of builtins \(eval\)",
        ),
        (
            {"activation": {"module": "keras.layers", "class_name": "Dense", "config": {}, "registered_name": None}},
            "activation = ",
        ),
        (
            {"kernel_initializer": {"module": "keras.initializers", "class_name": "STFT", "config": {}}},
            "kernel_initializer = ",
        ),
        (
            {"kernel_initializer": {"module": "evil", "class_name": "Zeros", "config": {}, "registered_name": None}},
            r"'evil\.Zeros' is not a plain Keras class",
        ),
        (
            {"kernel_initializer": {"module": "keras.utils", "class_name": "Zeros", "config": {}}},
            "kernel_initializer = ",
        ),
        (
            {"kernel_regularizer": {"module": "keras.regularizers", "class_name": "L2", "config": {"l2": {"a": 1}}}},
            "kernel_regularizer = ",
        ),
        (
            {"kernel_constraint": {"module": "keras.constraints", "class_name": "L", "config": {}}},
            "kernel_constraint = ",
        ),
        ({"kernel_constraint": "my_constraint"}, "kernel_constraint = my_constraint"),
        ({"dtype": "string"}, "dtype = string"),
        (
            {
                "dtype": {
                    "module": "keras",
                    "class_name": "QuantizedDTypePolicy",
                    "config": {"name": "int8_from_float32"},
                }
            },
            "dtype = ",
        ),
        (
            {"dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": CODE}}},
            "it holds a __lambda__",
        ),
        ({"data_format": "channels_first"}, "data_format = channels_first"),
        ({"kernel_initializer": {"class_name": "__numpy__", "config": {"value": [1]}}}, "a value of kind __numpy__"),
        ({"trainable": {"class_name": "__tensor__", "config": {}}}, "a value of kind __tensor__"),
        ({"name": "a\nb"}, "no usable name"),
    ],
)
def test_settings_that_are_not_plain_are_refused(members, config, tmp_path, settings, sentence):
    entry = layer(config, "code")
    entry["config"].update(settings)
    entry["name"] = entry["config"]["name"]
    refuse(tmp_path, members, config, sentence)


@pytest.mark.parametrize("depth", [1, 3])
def test_layers_inside_nested_models_are_checked(members, config, tmp_path, depth):
    layer(config, "code")["class_name"] = "Lambda"
    code = layer(config, "code")
    code["module"] = "keras.layers"
    code["class_name"] = "StringLookup"
    for number in range(depth):
        inner = copy.deepcopy(config)
        inner["config"]["name"] = f"inner_{number}"
        inner["inbound_nodes"] = []
        inner["compile_config"] = None
        config["config"]["layers"] = [config["config"]["layers"][0], inner]
        config["config"]["output_layers"] = [f"inner_{number}", 0, 0]
    refuse(tmp_path, members, config, "StringLookup. is not on the allow-list")


def test_sums_of_parameters_are_refused_from_the_config_alone(members, config, tmp_path):
    code, after = layer(config, "code"), layer(config, "decode_1")
    code["config"].update(filters=8192, kernel_size=[64, 64])
    code["build_config"]["input_shape"][-1] = 6
    after["build_config"]["input_shape"][-1] = 8192
    after["inbound_nodes"][0]["args"][0]["config"]["shape"][-1] = 8192
    refuse(tmp_path, members, config, r"up to layer 'code' \(Conv2D\) it needs 201,\d+,\d+ parameters")


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda c: c["config"]["layers"].extend([layer(c, "code")] * 2000), "no usable list of layers"),
        (lambda c: c["config"]["layers"].append(layer(c, "code")), "two layers named 'code'"),
        (lambda c: c["config"].update(layers=[]), "no usable list of layers"),
        (lambda c: c["config"].update(layers="x"), "no usable list of layers"),
        (lambda c: c["config"].update(other=1), "settings that a functional model has not"),
        (lambda c: c.update(class_name="Model"), "only functional and sequential models"),
        (lambda c: c.update(module="evil"), "is not a plain Keras class"),
        (lambda c: c.update(registered_name="deconv_core>SpaceToDepth"), "claims module"),
        (lambda c: c["config"].update(input_layers=[["picture", 0, 0], ["code", 0, 0]]), "it takes 2 inputs"),
        (lambda c: c["config"].update(output_layers=[["unfold", 0, 0], ["code", 0, 0]]), "it gives several outputs"),
        (lambda c: c["config"].update(output_layers=["nowhere", 0, 0]), "names output_layers that do not exist"),
        (lambda c: c["config"].update(output_layers=5), "does not say plainly"),
        (lambda c: layer(c, "picture")["config"].update(batch_shape=[None, None, None, 4]), "channels from 'picture'"),
        (lambda c: layer(c, "picture")["config"].update(batch_shape=[None, 9000, None, 3]), "at most 8192 pixels"),
        (lambda c: layer(c, "picture")["config"].update(dtype="string"), "dtype = string"),
        (lambda c: layer(c, "code").update(inbound_nodes=[[["encode_2", 0, 0, {}]]]), "not connected as Keras 3"),
        (lambda c: layer(c, "code")["inbound_nodes"][0].update(kwargs={"fn": "x"}), "called with options"),
        (lambda c: layer(c, "code")["inbound_nodes"][0].update(args=["ij,jk->ik"]), "only tensors and numbers"),
        (lambda c: layer(c, "code")["inbound_nodes"][0]["args"].append(CODE), "it holds a __lambda__"),
        (lambda c: c.update(compile_config={"loss": CODE}), "it holds a __lambda__"),
        (
            lambda c: c.update(
                compile_config={"loss": {"module": "builtins", "class_name": "function", "config": "f"}}
            ),
            "save the model without compiling it",
        ),
        (
            lambda c: c.update(compile_config={"loss": {"module": "mine", "class_name": "Loss", "config": {}}}),
            r"'mine\.Loss' is not a plain Keras class",
        ),
        (
            lambda c: c.update(compile_config={"loss": {"module": "keras.utils", "class_name": "Foo", "config": {}}}),
            r"compile settings name keras\.utils\.Foo",
        ),
    ],
)
def test_models_that_are_not_plain_are_refused(members, config, tmp_path, edit, sentence):
    edit(config)
    refuse(tmp_path, members, config, sentence)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"{", "cannot be used"),
        (b"[]", "an object is expected"),
        (b"\xff\xfe{}", "cannot be used"),
        (b'{"a": 1, "a": 2}', "a key appears twice"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b'{"a": ' + b"[" * 65 + b"]" * 65 + b"}", "nested deeper than 64 levels"),
        (b"[" * 100_000, "nested deeper than 64 levels"),
        (b'{"a": ' + b"9" * 5000 + b"}", "cannot be used"),
        (b"{}", "only functional and sequential models"),
    ],
)
def test_json_is_parsed_within_limits(members, tmp_path, text, sentence):
    with pytest.raises(ModelError, match=sentence):
        verify_file(write_zip(tmp_path / "model.keras", {**members, "config.json": text}))


def test_brackets_inside_strings_do_not_count_as_depth():
    assert checking._json_depth('{"a": "[[[\\"[[", "b": [1]}') == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b'{"keras_version": "2.15.0"}', r"was written by Keras 2\.15\.0; load it there and save it with Keras 3"),
        (b"{}", "names no Keras version"),
        (b'{"keras_version": ["3"]}', "names no Keras version"),
    ],
)
def test_other_versions_are_refused(members, tmp_path, text, sentence):
    with pytest.raises(ModelError, match=sentence):
        verify_file(write_zip(tmp_path / "model.keras", {**members, "metadata.json": text}))


# ---------------------------------------------------------------------------------------------------- hostile weights


def weights(fill):
    """An HDF5 file as bytes, filled by a function."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as root:
        fill(root.create_group("layers/conv2d/vars"))
    return memory.getvalue()


def _virtual(group):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    group.create_virtual_dataset("0", layout)


def _alias(group):
    group["0"] = np.zeros(3, "f4")
    group["1"] = group["0"]


def _loop(group):
    group["again"] = group.parent


@pytest.mark.parametrize(
    ("fill", "sentence"),
    [
        (lambda g: g.__setitem__("0", h5py.ExternalLink("/etc/passwd", "/x")), "an external link at"),
        (lambda g: g.__setitem__("0", h5py.SoftLink("/layers")), "a link at"),
        (_virtual, "external, virtual or chunked data at"),
        (
            lambda g: g.create_dataset("0", (4,), "f4", external=[("/etc/passwd", 0, 16)]),
            "external, virtual or chunked data at",
        ),
        (lambda g: g.create_dataset("0", (10**6, 10**6), "f4", chunks=(100, 100)), "chunked data at"),
        (lambda g: g.create_dataset("0", (1000,), "f4", compression="gzip"), "chunked data at"),
        (lambda g: g.create_dataset("0", (10**6, 10**6), "f4"), "a size without the data for it at"),
        (lambda g: g.create_dataset("0", data=["text"], dtype=h5py.string_dtype()), "values of type object at"),
        (lambda g: g.create_dataset("0", (2,), h5py.ref_dtype), "values of type object at"),
        (lambda g: g.create_dataset("0", data=np.zeros(2, "i4,f4")), "values of type"),
        (lambda g: g.create_dataset("0", data=h5py.Empty("f4")), "an empty entry at"),
        (lambda g: g.__setitem__("0", np.dtype("f4")), "a type definition at"),
        (_alias, "one object under two names at"),
        (_loop, "one object under two names at"),
    ],
)
def test_weights_that_are_not_plain_numbers_are_refused(members, tmp_path, fill, sentence):
    with pytest.raises(ModelError, match=sentence):
        verify_file(write_zip(tmp_path / "model.keras", members, weights=weights(fill)))


def test_weights_of_too_many_parts_or_levels_are_refused(members, tmp_path, monkeypatch):
    def deep(group):
        for _ in range(70):
            group = group.create_group("x")

    with pytest.raises(ModelError, match="entries or 64 levels"):
        verify_file(write_zip(tmp_path / "model.keras", members, weights=weights(deep)))
    monkeypatch.setattr(checking, "MAX_NODES", 10)
    with pytest.raises(ModelError, match="more than 10 entries"):
        verify_file(write_zip(tmp_path / "model.keras", members))


def test_weights_that_are_no_hdf5_are_refused(members, tmp_path):
    with pytest.raises(ModelError, match=r"model\.weights\.h5 is not an HDF5 file"):
        verify_file(write_zip(tmp_path / "model.keras", members, weights=pickle.dumps([1])))
    with pytest.raises(ModelError, match=r"model\.weights\.h5 is damaged"):
        verify_file(write_zip(tmp_path / "model.keras", members, weights=members["model.weights.h5"][:600]))


# ------------------------------------------------------------------------------------------------------- taking in


def test_import_rewrites_names_and_finds_out(tmp_path, home):
    """A compiled model of nested parts and fixed size, as people make them: a child loads it and frees it."""
    import keras

    encoder = keras.Sequential(
        [keras.Input((32, 32, 1)), keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")],
        name="encoder",
    )
    picture = keras.Input((32, 32, 1))
    code = keras.layers.MaxPooling2D(3, padding="same", name="pool")(encoder(picture))
    x = keras.layers.UpSampling2D(3)(code)
    x = keras.layers.Conv2DTranspose(1, 3, strides=2, padding="same", activation="sigmoid")(x)
    # 32 / 2 / 3 leaves a rest, so the model as built crops; any multiple of 6 needs no cropping.
    model = keras.Model(picture, keras.layers.Cropping2D(0)(x))
    model.compile("adam", "mse")
    path = tmp_path / "My Net (final).keras"
    model.save(path)
    card = import_model(path)
    assert card["name"] == "my-net-final"
    assert (card["channels"], card["stride"], card["code_layer"], card["code_channels"]) == (1, 6, "pool", 4)
    assert card["notes"] == []
    assert sorted(file.name for file in (home / "models").iterdir()) == ["my-net-final.json", "my-net-final.keras"]
    assert read_card("my-net-final") == card
    loaded = load_model("my-net-final")
    batch = np.random.default_rng(0).uniform(0, 1, (1, 96, 192, 1)).astype(np.float32)
    assert loaded.reconstruct(batch).shape == batch.shape
    assert loaded.encode(batch).shape == (1, 16, 32, 4)
    # Layers shared with the given model give its very numbers at another size too.
    free = keras.Input((None, None, 1))
    y = model.layers[2](encoder.layers[0](free))
    y = model.layers[4](model.layers[3](y))
    np.testing.assert_allclose(loaded.reconstruct(batch), keras.Model(free, y)(batch), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (Limits(wall_seconds=0.05), "took longer than 0.05 s and was stopped"),
        (Limits(cpu_seconds=1), "used more than 1 s of processor time"),
        (Limits(memory_bytes=1 << 29), "0.5 GiB of memory"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces all three limits")
def test_limits_end_the_child_with_one_sentence(made, home, limits, sentence):
    with pytest.raises(ModelError, match=sentence):
        import_model(made[1], limits=limits)
    assert list((home / "models").iterdir()) == []


def test_import_errors_of_the_child_name_the_file(made, members, config, tmp_path, home):
    layer(config, "code")["config"]["use_bias"] = False
    path = write_zip(tmp_path / "unfit.keras", members, config=config)
    with pytest.raises(ModelError, match=r"Keras cannot load 'unfit\.keras'"):
        import_model(path)


def adapt(tmp_path, model):
    model.save(tmp_path / "given.keras")
    return saving._adapt(tmp_path / "given.keras")


def test_child_finds_the_smallest_passage_as_code(tmp_path):
    import keras

    picture = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", name="a")(picture)
    side = keras.layers.Conv2D(1, 1, strides=4, name="small_but_beside")(x)
    side = keras.layers.UpSampling2D(4)(side)
    x = keras.layers.Add(name="joined")([x, side])
    x = keras.layers.Conv2D(4, 1, name="narrow")(x)
    x = keras.layers.ReLU(name="narrow_relu")(x)
    x = keras.layers.UpSampling2D(2, name="wide")(x)
    facts = adapt(tmp_path, keras.Model(picture, keras.layers.Conv2D(3, 1)(x)))
    assert (facts["code_layer"], facts["code_channels"], facts["stride"]) == ("narrow_relu", 4, 8)


def test_child_names_the_code_behind_an_inner_model(tmp_path):
    import keras

    inner = keras.Input((None, None, 3))
    encoder = keras.Model(inner, keras.layers.Conv2D(2, 2, strides=2)(inner), name="encoder")
    inner = keras.Input((None, None, 2))
    decoder = keras.Model(inner, keras.layers.Conv2DTranspose(3, 2, strides=2)(inner), name="decoder")
    model = keras.Sequential([keras.Input((None, None, 3)), encoder, decoder])
    facts = adapt(tmp_path, model)
    assert (facts["code_layer"], facts["code_channels"], facts["stride"]) == ("code", 2, 2)
    card = {**facts, "channels": 3}
    save_model(saving._load_keras(tmp_path / "made" / "made.keras"), tmp_path / "named.keras", card)
    loaded = load_model(tmp_path / "named.keras")
    batch = np.random.default_rng(0).uniform(0, 1, (1, 6, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(loaded.encode(batch), encoder(batch), rtol=0, atol=1e-6)
    np.testing.assert_allclose(loaded.reconstruct(batch), np.clip(model(batch), 0, 1), rtol=0, atol=1e-6)


def test_child_says_when_skips_leave_no_code_and_when_the_range_is_another(tmp_path):
    import keras

    picture = keras.Input((None, None, 1))
    x = keras.layers.UpSampling2D(2)(keras.layers.MaxPooling2D(2)(picture))
    x = keras.layers.Add()([x, picture])
    facts = adapt(tmp_path, keras.Model(picture, x))
    assert (facts["code_layer"], facts["stride"]) == (None, 2)
    assert "cannot be taken apart" in facts["notes"][0]
    picture = keras.Input((None, None, 1))
    facts = adapt(tmp_path, keras.Model(picture, keras.layers.Rescaling(255.0)(keras.layers.MaxPooling2D(1)(picture))))
    assert "another range of values" in facts["notes"][0]


def test_child_refuses_models_that_change_the_size_or_are_bound_to_one(tmp_path):
    import keras

    picture = keras.Input((None, None, 1))
    valid = keras.Model(picture, keras.layers.Conv2D(1, 3)(picture))
    with pytest.raises(ModelError, match=r"gives \(1, 190, 190, 1\) for a picture of \(1, 192, 192, 1\)"):
        adapt(tmp_path, valid)
    colour = keras.Model(picture, keras.layers.Conv2D(3, 3, padding="same")(picture))
    with pytest.raises(ModelError, match=r"gives \(1, 192, 192, 3\)"):
        adapt(tmp_path, colour)
    bound = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(64),
            keras.layers.Reshape((8, 8, 1)),
        ]
    )
    with pytest.raises(ModelError, match=r"works on pictures of \(8, 8\) alone"):
        adapt(tmp_path, bound)


def test_names_are_cleaned_and_bundled_ones_kept(made, tmp_path, home):
    assert saving._clean_name("../../Größe v2.1") == "gr-e-v2-1"
    assert len(saving._clean_name("x" * 300)) == 60
    with pytest.raises(ModelError, match="leaves no name"):
        saving._clean_name("///")
    save_model(made[0], tmp_path / "zoo" / "photo.keras", {"channels": 3, "stride": 4})
    with pytest.raises(ModelError, match="'photo' is a bundled model and stays as it is"):
        import_model(made[1], name="Photo")
    mine = {"channels": 3, "stride": 4, "source_digest": "abc"}
    save_model(made[0], home / "models" / "mine.keras", mine)
    assert saving._free_name("mine", "abc") == "mine"
    assert saving._free_name("mine", "other") == "mine-2"
    assert saving._free_name("free", "other") == "free"
