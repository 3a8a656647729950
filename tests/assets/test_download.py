import pytest

from probe.assets import Unavailable, fetch_asset
from probe.assets.download import CHUNK_BYTES as CHUNK
from probe.errors import ProbeError


def part_of(asset):
    return asset.path.with_name(asset.name + ".part")


def test_broken_connection_goes_on_where_it_stopped(server, asset_of, content):
    server.content = content
    server.break_after = [20 * CHUNK, 10 * CHUNK]
    assert fetch_asset(asset_of(content)).read_bytes() == content
    first, *later = server.asked
    assert first is None
    assert [int(r.removeprefix("bytes=").rstrip("-")) for r in later] == [
        20 * CHUNK,
        30 * CHUNK,
    ]


def test_server_without_ranges_starts_over(server, asset_of, content):
    server.content = content
    server.ranges = False
    server.break_after = [20 * CHUNK]
    assert fetch_asset(asset_of(content)).read_bytes() == content
    assert server.asked == [None, f"bytes={20 * CHUNK}-"]


def test_resumes_in_another_run(server, asset_of, content):
    server.content = content
    asset = asset_of(content)
    server.break_after = [25 * CHUNK, *[0] * 9]  # then nothing more comes
    with pytest.raises(Unavailable, match="connection broken"):
        fetch_asset(asset)
    assert part_of(asset).stat().st_size == 25 * CHUNK
    server.break_after, server.asked = [], []
    assert fetch_asset(asset).read_bytes() == content
    assert server.asked == [f"bytes={25 * CHUNK}-"]
    assert not part_of(asset).exists()


@pytest.mark.parametrize("length", [1000, 1_024_000, 2_000_000])
def test_half_of_another_file_is_never_spliced(server, asset_of, content, length):
    server.content = content
    asset = asset_of(content)
    part_of(asset).parent.mkdir(parents=True)
    part_of(asset).write_bytes(b"\0" * length)  # of an older version; also complete, or too long
    assert fetch_asset(asset).read_bytes() == content
    assert server.asked[-1] is None


def test_whole_part_is_taken(server, asset_of, content):
    server.content = content
    asset = asset_of(content)
    part_of(asset).parent.mkdir(parents=True)
    part_of(asset).write_bytes(content)
    assert fetch_asset(asset).read_bytes() == content
    assert len(server.asked) == 1


def test_wrong_content_leaves_nothing_behind(server, asset_of, content):
    server.content = content[:-1] + b"\0"
    asset = asset_of(content)
    with pytest.raises(ProbeError) as error:
        fetch_asset(asset)
    message = str(error.value)
    assert message.count("sha256:") == 2
    assert "things/file.bin" in message
    assert "run again" in message
    assert "\n" not in message
    assert list(asset.path.parent.iterdir()) == []


def test_transient_errors_are_retried(server, asset_of, content):
    server.content = content
    server.statuses = [503, 429]
    assert fetch_asset(asset_of(content)).read_bytes() == content
    assert len(server.asked) == 3


def test_not_found_is_not_retried(server, asset_of, content):
    server.statuses = [404] * 9
    with pytest.raises(Unavailable, match="HTTP 404"):
        fetch_asset(asset_of(content))
    assert len(server.asked) == 1


def test_progress_is_shown_when_asked_for(server, asset_of, content, capfd):
    server.content = content
    fetch_asset(asset_of(content), progress=False)
    assert capfd.readouterr() == ("", "")
    fetch_asset(asset_of(content)).unlink()
    fetch_asset(asset_of(content), progress=True)
    assert "file.bin" in capfd.readouterr().err
