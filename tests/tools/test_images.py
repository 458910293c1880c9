"""Pictures, and results without a response."""

from __future__ import annotations

from typing import Any

import pytest

from voxwire import BackgroundResult, ToolImage, UserError, background_result, is_background_result
from voxwire.tools.images import image_message, split_images

PNG = ToolImage(b"\x89PNG")


def test_where_a_picture_comes_from() -> None:
    assert PNG.to_wire() == {"type": "input_image", "image_url": "data:image/png;base64,iVBORw=="}
    jpeg = ToolImage(b"\xff\xd8", media_type="image/jpeg", detail="high")
    assert jpeg.to_wire() == {
        "type": "input_image",
        "image_url": "data:image/jpeg;base64,/9g=",
        "detail": "high",
    }
    for url in ("data:image/gif;base64,AA==", "https://example.com/a.png", "http://127.0.0.1/a"):
        assert ToolImage(url).url == url
    assert "PNG" not in repr(PNG)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"source": "cat.png"}, "must be a data:image/... URL or an http"),
        ({"source": ""}, "must be a data:image/... URL"),
        ({"source": b""}, "bytes or a URL, got bytes"),
        ({"source": 5}, "bytes or a URL, got int"),
        ({"source": b"x", "media_type": "text/html"}, "media_type must be image/..., got 'text/html'"),
        ({"source": b"x", "detail": "most"}, "detail must be"),
    ],
)
def test_what_is_no_picture(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        ToolImage(**values)


@pytest.mark.parametrize(
    ("result", "rest", "count"),
    [
        ("text", "text", 0),
        (PNG, "(an image, in the message before)", 1),
        ([PNG, PNG], "(2 images, in the message before)", 2),
        (("a", PNG, "b"), "a\nb\n(an image, in the message before)", 1),
        ([{"a": 1}, PNG], [{"a": 1}, "(an image, in the message before)"], 1),
        ([1, 2], [1, 2], 0),
        ([[PNG]], [[PNG]], 0),
    ],
)
def test_a_result_is_split(result: Any, rest: Any, count: int) -> None:
    assert split_images(result) == (rest, count * (PNG,))


def test_the_message() -> None:
    assert image_message("look", [PNG]) == {
        "role": "user",
        "content": [{"type": "input_text", "text": "Returned by the tool look:"}, PNG.to_wire()],
    }


def test_background_results() -> None:
    assert background_result(5) == BackgroundResult(5)
    assert background_result() == BackgroundResult(None)
    assert is_background_result(background_result(5))
    assert not is_background_result(5)
