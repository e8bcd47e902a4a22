variable "environment" {
  description = "Name of the environment, such as staging; part of every name."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,15}$", var.environment))
    error_message = "2 to 16 lower-case letters, digits and hyphens, with a letter first."
  }
}

variable "region" {
  description = "AWS region of everything."
  type        = string
  default     = "eu-central-1"
}

variable "network" {
  description = "Address range of the VPC that is made; `trusted_proxies` in canfleet.yaml names it too."
  type        = string
  default     = "10.20.0.0/16"
}

variable "zones" {
  description = "Availability zones, two at least: the load balancer asks for them."
  type        = list(string)
  default     = ["eu-central-1a", "eu-central-1b"]
  validation {
    condition     = length(var.zones) >= 2
    error_message = "Name two zones or more."
  }
}

variable "admin_network" {
  description = "Address range from which ssh is let in, and `ray up` works: an office, a VPN, a runner. Not 0.0.0.0/0."
  type        = string
  validation {
    condition     = can(cidrhost(var.admin_network, 0)) && tonumber(split("/", var.admin_network)[1]) >= 16
    error_message = "A range in CIDR notation, /16 or smaller."
  }
}

variable "zone_name" {
  description = "Name of a hosted zone in Route 53, such as example.com."
  type        = string
}

variable "host_name" {
  description = "Name in that zone under which clients reach the HTTP API, such as canfleet.example.com."
  type        = string
}

variable "key_name" {
  description = "An EC2 key pair, for ssh."
  type        = string
}

variable "ssh_private_key" {
  description = "Path of its private key where `make deploy` runs."
  type        = string
  default     = "~/.ssh/canfleet.pem"
}

variable "image_id" {
  description = "Image of all nodes: Debian 12 for amd64 in the region."
  type        = string
}

variable "min_workers" {
  description = "Ray workers that are always there."
  type        = number
  default     = 2
}

variable "max_workers" {
  description = "Ray workers at most."
  type        = number
  default     = 8
}

variable "clickhouse_nodes" {
  description = "ClickHouse servers that are made; 0 where you have a ClickHouse of your own. canfleet writes to the first."
  type        = number
  default     = 1
}

variable "clickhouse_instance" {
  description = "Instance type of a ClickHouse node."
  type        = string
  default     = "r7i.xlarge"
}

variable "clickhouse_version" {
  description = "Version of the Debian package clickhouse-server, 24.8 or later: `apt-cache madison clickhouse-server`."
  type        = string
}

variable "clickhouse_password_sha256" {
  description = "SHA-256, in hexadecimal, of the password in canfleet.yaml: printf %s PASSWORD | sha256sum."
  type        = string
  sensitive   = true
}

variable "clickhouse_disk_gb" {
  description = "Size of the hot volume of a ClickHouse node, in GB."
  type        = number
  default     = 500
}

variable "cold_days" {
  description = "Days after which S3 keeps cold data in Glacier Instant Retrieval; 0 for never. Reads of it cost more."
  type        = number
  default     = 0
}
