# The cloud: what it is called, its networks, and how its nodes look. nuboctl reads every *.hcl file in this directory.
# Check it at any time, with no network:  nuboctl validate

variable "blades" {
  description = "how many blades the rack has"
  type        = number
  default     = 3
}

cloud "example" {
  domain  = "example.test"
  release = "trixie"
}

# The network over which blades boot and are reached. nuboctl answers DHCP on it, for the machines below and nobody else.
network "provision" {
  cidr    = "10.20.0.0/24"
  gateway = "10.20.0.1"

  dhcp {
    mode = "authoritative" # or "proxy", beside a DHCP server that is there already
  }

  # Without this block the boot service runs on this workstation, which must then be on this network.
  # relay {
  #   via      = "root@jump.example.test"
  #   host_key = "ssh-ed25519 AAAA…"
  #   address  = "10.20.0.2"
  # }
}

# How a blade looks. One profile may serve hundreds.
profile "compute" {
  image  = "debian-13"
  butane = "profiles/compute.bu"
  roles  = ["compute"]

  # The disk for the system: chosen by what it is, never by the kernel's name for it.
  root_device {
    min_size_gib = 20
    rotational   = false
  }

  bridge "br-ex" {
    uplink = "eth0"
  }
}

# How changes are rolled out.
rollout {
  max_unavailable = "1 rack per zone"
  bake            = "5m"
  canary          = 1
}
