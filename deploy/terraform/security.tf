# Who may reach what. The internet reaches HTTPS on the load balancer, and nothing else.

resource "aws_security_group" "balancer" {
  name        = "${local.name}-balancer"
  description = "HTTPS from everywhere"
  vpc_id      = aws_vpc.this.id
}

resource "aws_security_group" "nodes" {
  name        = "${local.name}-nodes"
  description = "Ray's nodes: ssh from the admins, the HTTP API from the load balancer, everything among themselves"
  vpc_id      = aws_vpc.this.id
}

resource "aws_security_group" "files" {
  name        = "${local.name}-files"
  description = "The file system: NFS from the nodes"
  vpc_id      = aws_vpc.this.id
}

resource "aws_security_group" "clickhouse" {
  name        = "${local.name}-clickhouse"
  description = "ClickHouse: HTTP from the nodes, ssh from the admins, everything among themselves"
  vpc_id      = aws_vpc.this.id
}

resource "aws_vpc_security_group_ingress_rule" "https" {
  security_group_id = aws_security_group.balancer.id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_ingress_rule" "ssh" {
  for_each          = { nodes = aws_security_group.nodes.id, clickhouse = aws_security_group.clickhouse.id }
  security_group_id = each.value
  cidr_ipv4         = var.admin_network
  ip_protocol       = "tcp"
  from_port         = 22
  to_port           = 22
}

resource "aws_vpc_security_group_ingress_rule" "http" {
  security_group_id            = aws_security_group.nodes.id
  referenced_security_group_id = aws_security_group.balancer.id
  ip_protocol                  = "tcp"
  from_port                    = 8080
  to_port                      = 8080
}

# Ray opens ports as it likes: GCS, raylets, object manager, workers, replicas.
resource "aws_vpc_security_group_ingress_rule" "among" {
  for_each                     = { nodes = aws_security_group.nodes.id, clickhouse = aws_security_group.clickhouse.id }
  security_group_id            = each.value
  referenced_security_group_id = each.value
  ip_protocol                  = "-1"
}

resource "aws_vpc_security_group_ingress_rule" "nfs" {
  security_group_id            = aws_security_group.files.id
  referenced_security_group_id = aws_security_group.nodes.id
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
}

resource "aws_vpc_security_group_ingress_rule" "clickhouse" {
  security_group_id            = aws_security_group.clickhouse.id
  referenced_security_group_id = aws_security_group.nodes.id
  ip_protocol                  = "tcp"
  from_port                    = 8123
  to_port                      = 8123
}

resource "aws_vpc_security_group_egress_rule" "out" {
  for_each = {
    balancer   = aws_security_group.balancer.id
    nodes      = aws_security_group.nodes.id
    clickhouse = aws_security_group.clickhouse.id
  }
  security_group_id = each.value
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}
