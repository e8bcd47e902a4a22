# What the machines may do: the head starts and ends workers, all nodes enter the target group, ClickHouse has the bucket.

data "aws_iam_policy_document" "ec2" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "this" {
  for_each           = toset(["head", "worker", "clickhouse"])
  name               = "${local.name}-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.ec2.json
}

resource "aws_iam_instance_profile" "this" {
  for_each = aws_iam_role.this
  name     = each.value.name
  role     = each.value.name
}

data "aws_iam_policy_document" "head" {
  statement {
    sid       = "Look"
    actions   = ["ec2:Describe*"]
    resources = ["*"]
  }
  statement {
    sid       = "StartWorkers"
    actions   = ["ec2:RunInstances"]
    resources = ["*"]
  }
  statement {
    sid       = "TagAtTheirStart"
    actions   = ["ec2:CreateTags"]
    resources = ["*"]
    condition {
      test     = "StringEquals"
      variable = "ec2:CreateAction"
      values   = ["RunInstances"]
    }
  }
  statement {
    sid       = "EndWorkersOfThisCluster"
    actions   = ["ec2:TerminateInstances", "ec2:CreateTags", "ec2:DeleteTags"]
    resources = ["arn:aws:ec2:${var.region}:*:instance/*"]
    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/ray-cluster-name"
      values   = [local.name]
    }
  }
  statement {
    sid       = "GiveWorkersTheirRole"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.this["worker"].arn]
  }
  statement {
    sid       = "LookAtProfiles"
    actions   = ["iam:GetInstanceProfile"]
    resources = [aws_iam_instance_profile.this["worker"].arn]
  }
}

resource "aws_iam_role_policy" "head" {
  role   = aws_iam_role.this["head"].name
  policy = data.aws_iam_policy_document.head.json
}

data "aws_iam_policy_document" "enter" {
  statement {
    actions   = ["elasticloadbalancing:RegisterTargets"]
    resources = [aws_lb_target_group.http.arn]
  }
}

resource "aws_iam_role_policy" "enter" {
  for_each = toset(["head", "worker"])
  role     = aws_iam_role.this[each.key].name
  policy   = data.aws_iam_policy_document.enter.json
}

data "aws_iam_policy_document" "cold" {
  statement {
    actions   = ["s3:ListBucket", "s3:GetBucketLocation"]
    resources = [aws_s3_bucket.cold.arn]
  }
  statement {
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    resources = ["${aws_s3_bucket.cold.arn}/*"]
  }
}

resource "aws_iam_role_policy" "cold" {
  role   = aws_iam_role.this["clickhouse"].name
  policy = data.aws_iam_policy_document.cold.json
}
