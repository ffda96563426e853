"""Which wheels an image can load."""

from dataclasses import replace

from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from pacabench.sandbox.docker.images.platforms import (
    Interpreter,
    pip_target_arguments,
    platform_tags,
)


class TestPlatformTags:
    def test_every_glibc_up_to_the_images_own_and_none_beyond(
        self, interpreter: Interpreter
    ) -> None:
        tags = platform_tags(replace(interpreter, libc_version=(2, 19)))
        assert tags == [
            "manylinux_2_19_aarch64",
            "manylinux_2_18_aarch64",
            "manylinux_2_17_aarch64",
            "manylinux2014_aarch64",
            "linux_aarch64",
        ]

    def test_old_names_exist_on_x86_only(self, interpreter: Interpreter) -> None:
        tags = platform_tags(replace(interpreter, machine="x86_64", libc_version=(2, 36)))
        assert {"manylinux1_x86_64", "manylinux2010_x86_64", "manylinux2014_x86_64"} <= set(tags)
        assert tags[0] == "manylinux_2_36_x86_64"
        assert "manylinux_2_5_x86_64" in tags
        assert "manylinux_2_4_x86_64" not in tags

    def test_musl_has_tags_of_its_own(self, interpreter: Interpreter) -> None:
        image = replace(interpreter, libc="musl", libc_version=(1, 2))
        assert platform_tags(image) == [
            "musllinux_1_2_aarch64",
            "musllinux_1_1_aarch64",
            "musllinux_1_0_aarch64",
            "linux_aarch64",
        ]

    def test_a_real_wheel_of_each_kind_fits(self, interpreter: Interpreter) -> None:
        platforms = platform_tags(replace(interpreter, machine="x86_64", libc_version=(2, 36)))
        fitting = set(cpython_tags((3, 12), platforms=platforms))
        fitting |= set(compatible_tags((3, 12), "cp312", platforms))
        for name in (
            "orjson-3.10.0-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "cryptography-42.0.0-cp39-abi3-manylinux_2_28_x86_64.whl",
            "six-1.16.0-py2.py3-none-any.whl",
        ):
            assert parse_wheel_filename(name)[3] & fitting, name
        musl = "orjson-3.10.0-cp312-cp312-musllinux_1_2_x86_64.whl"
        assert not parse_wheel_filename(musl)[3] & fitting


class TestPipArguments:
    def test_nothing_is_ever_built(self, interpreter: Interpreter) -> None:
        assert "--only-binary=:all:" in pip_target_arguments(interpreter)

    def test_version_implementation_and_every_platform_are_said(
        self, interpreter: Interpreter
    ) -> None:
        arguments = pip_target_arguments(interpreter)
        assert "--python-version=3.9" in arguments
        assert "--implementation=cp" in arguments
        assert sum(item.startswith("--platform=") for item in arguments) == len(
            platform_tags(interpreter)
        )

    def test_free_threaded_builds_have_an_abi_of_their_own(self, interpreter: Interpreter) -> None:
        image = replace(interpreter, version="3.13", free_threaded=True)
        assert "--abi=cp313t" in pip_target_arguments(image)


def test_the_short_tag_tells_images_apart(interpreter: Interpreter) -> None:
    assert interpreter.tag == "cp39-glibc2.31-aarch64"
    other = replace(interpreter, version="3.13", free_threaded=True, libc="musl")
    assert other.tag == "cp313t-musl2.31-aarch64"
