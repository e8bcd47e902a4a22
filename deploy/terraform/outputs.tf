# `terraform output -json > ~/.canfleet/ENV/outputs.json`: what deploy/aws/render.py writes into cluster.yaml.

locals {
  name = "canfleet-${var.environment}"
}

output "cluster_name" {
  description = "Name of the Ray cluster; the head may end instances with this tag alone."
  value       = local.name
}

output "url" {
  description = "Where clients reach the HTTP API."
  value       = "https://${var.host_name}"
}

output "region" {
  description = "AWS region."
  value       = var.region
}

output "image_id" {
  description = "Image of the nodes."
  value       = var.image_id
}

output "key_name" {
  description = "EC2 key pair."
  value       = var.key_name
}

output "ssh_private_key" {
  description = "Path of its private key."
  value       = var.ssh_private_key
}

output "subnet_ids" {
  description = "Subnets of the nodes, one in each zone."
  value       = aws_subnet.public[*].id
}

output "security_group_id" {
  description = "Security group of the nodes."
  value       = aws_security_group.nodes.id
}

output "head_profile" {
  description = "Instance profile of the head."
  value       = aws_iam_instance_profile.this["head"].name
}

output "worker_profile" {
  description = "Instance profile of the workers."
  value       = aws_iam_instance_profile.this["worker"].name
}

output "min_workers" {
  description = "Workers that are always there."
  value       = var.min_workers
}

output "max_workers" {
  description = "Workers at most."
  value       = var.max_workers
}

output "file_system" {
  description = "Address of the file system for data_dir."
  value       = aws_efs_file_system.data.dns_name
}

output "target_group" {
  description = "Target group that nodes enter."
  value       = aws_lb_target_group.http.arn
}

output "clickhouse_url" {
  description = "For clickhouse.url in canfleet.yaml; null where there is a ClickHouse of yours."
  value       = one([for record in slice(aws_route53_record.clickhouse, 0, min(1, var.clickhouse_nodes)) : "http://${record.name}:8123"])
}
