"""What the Terraform files refer to is declared, and what is declared is used. Terraform itself is not needed."""

from __future__ import annotations

import re

from delivery_files import ROOT

TERRAFORM = ROOT / "deploy" / "terraform"
SOURCE = "\n".join(re.sub(r"#.*", "", path.read_text()) for path in sorted(TERRAFORM.glob("*.tf")))


def test_variables_are_declared_described_and_used() -> None:
    declared = re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', SOURCE, re.MULTILINE | re.DOTALL)
    names = {name for name, _ in declared}
    assert {name for name, body in declared if "description" in body} == names
    used = set(re.findall(r"\bvar\.(\w+)", re.sub(r"validation \{.*?\n  \}", "", SOURCE, flags=re.DOTALL)))
    assert used == names


def test_resources_that_are_referred_to_are_there() -> None:
    resources = set(re.findall(r'^resource "(\w+)" "(\w+)"', SOURCE, re.MULTILINE))
    data = set(re.findall(r'^data "(\w+)" "(\w+)"', SOURCE, re.MULTILINE))
    assert set(re.findall(r"\bdata\.(aws_\w+)\.(\w+)", SOURCE)) == data
    assert set(re.findall(r"(?<!data\.)\b(aws_\w+)\.(\w+)", SOURCE)) <= resources


def test_the_template_is_given_all_that_it_asks_for() -> None:
    asked = set(re.findall(r"\$\{(\w+)\}", (TERRAFORM / "clickhouse.sh.tftpl").read_text()))
    [given] = re.findall(r"templatefile\(\S+, \{(.*?)\n  \}\)", SOURCE, re.DOTALL)
    assert set(re.findall(r"^\s*(\w+)\s+= ", given, re.MULTILINE)) == asked


def test_the_bucket_is_closed_encrypted_versioned_and_tidied() -> None:
    kinds = {kind for kind, name in re.findall(r'^resource "(\w+)" "(\w+)"', SOURCE, re.MULTILINE) if name == "cold"}
    assert {
        "aws_s3_bucket",
        "aws_s3_bucket_public_access_block",
        "aws_s3_bucket_server_side_encryption_configuration",
        "aws_s3_bucket_versioning",
        "aws_s3_bucket_lifecycle_configuration",
        "aws_s3_bucket_policy",
    } <= kinds
    [block] = re.findall(r'"aws_s3_bucket_public_access_block" "cold" \{(.*?)^\}', SOURCE, re.MULTILINE | re.DOTALL)
    assert block.count("= true") == 4
