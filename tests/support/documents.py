"""What stands in the project's documents, taken apart: headings, links, blocks of code, command lines."""

from __future__ import annotations

import dataclasses
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Files that somebody has fetched or built, not written.
_FOREIGN = {"node_modules", "build", "out", ".git"}


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    path: pathlib.Path
    line: int  # of its first line of text, from 1
    language: str
    text: str

    def __str__(self):
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def files(*endings):
    """Files below docs/ with one of these endings, and the documents at the root where they have it."""
    found = [path for path in sorted((ROOT / "docs").rglob("*"))
             if path.is_file() and path.suffix in endings and not _FOREIGN & set(path.relative_to(ROOT).parts)]
    return [ROOT / name for name in ("README.md", "CONTRIBUTING.md") if pathlib.Path(name).suffix in endings] + found


def blocks(path):
    found, begin, language, indent, lines = [], 0, "", 0, []
    for number, line in enumerate(path.read_text().split("\n"), 1):
        fence = re.match(r"( *)```(\S*)", line)
        if fence and not begin:
            begin, indent, language, lines = number + 1, len(fence[1]), fence[2], []
        elif fence:
            found.append(Block(path, begin, language, "\n".join(lines)))
            begin = 0
        elif begin:
            lines.append(line[indent:] if line[:indent].isspace() else line)
    if begin:
        raise AssertionError(f"{path}:{begin}: the block has no end")
    return found


def prose(path):
    """The text without its blocks, which become empty lines."""
    inside, lines = False, []
    for line in path.read_text().split("\n"):
        fence = line.lstrip().startswith("```")
        lines.append("" if inside or fence else line)
        inside ^= fence
    return "\n".join(lines)


def headings(path):
    return re.findall(r"^#{1,6} +(.*?) *$", prose(path), re.MULTILINE)


def anchors(path):
    """The names that a link may put behind #, as forges make them of headings."""
    found: dict[str, int] = {}
    names = set()
    for heading in headings(path):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        count = found[slug] = found.get(slug, -1) + 1
        names.add(slug if count == 0 else f"{slug}-{count}")
    return names


def links(path):
    """(text, target) of each link and picture outside of code."""
    text = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", lambda code: "`" * len(code[0]), prose(path))
    return re.findall(r"\[([^]\n]*(?:\n[^]\n]*)?)\]\(([^)\s]+)\)", text)


def inline_codes(path):
    return [code for _, code in re.findall(r"(?<!`)(`)(?!`)([^`]+?)`(?!`)", prose(path))]


def command_lines(path, program):
    """The words behind `program` wherever a document says how to call it: in blocks, and in code between words. Of other
    files than documents: in every line."""
    if path.suffix == ".md":
        texts = [block.text for block in blocks(path) if block.language in ("", "sh", "bash", "console", "yaml")]
        texts += [re.sub(r"\s+", " ", code) for code in inline_codes(path)]
    else:
        texts = [path.read_text()]
    found = []
    for text in texts:
        for line in text.split("\n"):
            for match in re.finditer(rf"(?:^|[\s\"'(|;&$]){program}((?: +[^\s|;&#<>()`'\"]+)+)", line):
                found.append(match[1].split())
    return found
