# ClickHouse servers with a hot volume (gp3) and the bucket as the cold one. canfleet writes to the first; more than one is
# for a cluster of yours: docs/storage.md says how `canfleet schema --cluster` prints its tables.

resource "aws_instance" "clickhouse" {
  count                  = var.clickhouse_nodes
  ami                    = var.image_id
  instance_type          = var.clickhouse_instance
  key_name               = var.key_name
  subnet_id              = aws_subnet.public[count.index % length(var.zones)].id
  vpc_security_group_ids = [aws_security_group.clickhouse.id]
  iam_instance_profile   = aws_iam_instance_profile.this["clickhouse"].name
  user_data = templatefile("${path.module}/clickhouse.sh.tftpl", {
    version         = var.clickhouse_version
    password_sha256 = var.clickhouse_password_sha256
    cold_endpoint   = "https://${aws_s3_bucket.cold.bucket_regional_domain_name}/canfleet-${count.index}/"
    storage         = file("${path.module}/../clickhouse/config.d/storage.xml")
  })
  metadata_options {
    http_tokens = "required"
  }
  root_block_device {
    volume_type = "gp3"
    volume_size = 20
    encrypted   = true
  }
  tags = { Name = "${local.name}-clickhouse-${count.index}" }
  lifecycle {
    # A new image or new user data would replace the machine under its data: do that by hand.
    ignore_changes = [ami, user_data]
  }
}

resource "aws_ebs_volume" "hot" {
  count             = var.clickhouse_nodes
  availability_zone = aws_instance.clickhouse[count.index].availability_zone
  type              = "gp3"
  size              = var.clickhouse_disk_gb
  encrypted         = true
  tags              = { Name = "${local.name}-clickhouse-${count.index}-hot" }
  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_volume_attachment" "hot" {
  count       = var.clickhouse_nodes
  device_name = "/dev/sdf"
  volume_id   = aws_ebs_volume.hot[count.index].id
  instance_id = aws_instance.clickhouse[count.index].id
}

resource "aws_route53_zone" "internal" {
  name = "${local.name}.internal"
  vpc {
    vpc_id = aws_vpc.this.id
  }
}

resource "aws_route53_record" "clickhouse" {
  count   = var.clickhouse_nodes
  zone_id = aws_route53_zone.internal.zone_id
  name    = "clickhouse-${count.index}.${local.name}.internal"
  type    = "A"
  ttl     = 60
  records = [aws_instance.clickhouse[count.index].private_ip]
}
