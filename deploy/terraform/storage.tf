# Cold data of ClickHouse, and the file system with journals, checkpoints and keys.

resource "aws_s3_bucket" "cold" {
  bucket_prefix = "${local.name}-cold-"
}

resource "aws_s3_bucket_public_access_block" "cold" {
  bucket                  = aws_s3_bucket.cold.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "cold" {
  bucket = aws_s3_bucket.cold.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "aws:kms"
    }
    bucket_key_enabled = true
  }
}

resource "aws_s3_bucket_versioning" "cold" {
  bucket = aws_s3_bucket.cold.id
  versioning_configuration {
    status = "Enabled"
  }
}

# ClickHouse deletes objects as rows reach the end of their retention, and merges write them anew: what versioning keeps
# of those is a safety net of a week. A vehicle that was forgotten is gone from the bucket after that week.
resource "aws_s3_bucket_lifecycle_configuration" "cold" {
  bucket     = aws_s3_bucket.cold.id
  depends_on = [aws_s3_bucket_versioning.cold]
  rule {
    id     = "old-versions"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration {
      noncurrent_days = 7
    }
    expiration {
      expired_object_delete_marker = true
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }
  dynamic "rule" {
    for_each = var.cold_days > 0 ? [var.cold_days] : []
    content {
      id     = "colder"
      status = "Enabled"
      filter {}
      transition {
        days          = rule.value
        storage_class = "GLACIER_IR"
      }
    }
  }
}

data "aws_iam_policy_document" "cold_bucket" {
  statement {
    sid       = "OnlyTLS"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.cold.arn, "${aws_s3_bucket.cold.arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "cold" {
  bucket = aws_s3_bucket.cold.id
  policy = data.aws_iam_policy_document.cold_bucket.json
}

# A journal is synced for every acknowledgement, and must be found from any node in any zone: EFS, not EBS.
resource "aws_efs_file_system" "data" {
  creation_token  = local.name
  encrypted       = true
  throughput_mode = "elastic"
  tags            = { Name = local.name }
  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_efs_mount_target" "data" {
  count           = length(var.zones)
  file_system_id  = aws_efs_file_system.data.id
  subnet_id       = aws_subnet.public[count.index].id
  security_groups = [aws_security_group.files.id]
}

resource "aws_efs_backup_policy" "data" {
  file_system_id = aws_efs_file_system.data.id
  backup_policy {
    status = "ENABLED"
  }
}
