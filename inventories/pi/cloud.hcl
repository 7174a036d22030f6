# One site of HPE blades: 2,100 cores, 330 TB, 15,000 virtual machines.
#
# How the figures add up, and in which units:
#
#   blades    5 zones × 1 rack × 2 frames × 11 blades (HPE Synergy 480 in a frame of 12 bays, one kept free) = 110 blades
#   cores     5 × (17 × 20 + 5 × 16) = 5 × 420                      = 2,100 cores
#   memory    110 × 3,072 GiB (24 × 128 GiB)                        = 337,920 GiB = 330 TiB (what is commonly written "330 TB" of RAM)
#   VMs       6,000 × 1 + 6,000 × 2 + 3,000 × 4 vCPU                = 15,000 VMs with 30,000 vCPU
#   overcommit  30,000 / 2,100                                      = 14.3 vCPU per core; up to 16 is allowed (cpu_overcommit)
#               memory is not overcommitted: the VMs have 240,000 GiB, 71 %
#
# Storage, for whoever reads "330 TB" as disks: 110 × 3 OSDs × 3.84 TB = 1,267 TB raw (decimal); three copies, 85 % full = 359 TB.

cloud "pi" {
  domain  = "pi.example"
  release = "trixie"
  dns     = ["10.8.0.53"]
  ntp     = ["ntp.pi.example"]
}

network "provision" {
  cidr    = "10.8.0.0/22"
  gateway = "10.8.0.1"

  dhcp {
    mode = "authoritative"
  }

  relay {
    address = "10.8.0.2"
  }
}

network "management" {
  cidr = "10.8.8.0/22"
}

network "storage" {
  cidr = "10.8.16.0/22"
  vlan = 101
  mtu  = 9000
}

profile "synergy" {
  image          = "debian-13"
  butane         = "../../profiles/hyperconverged.bu"
  roles          = ["compute", "ceph-osd"]
  cores          = 20
  memory_gib     = 3072
  cpu_model      = "Cascadelake-Server-v5"
  cpu_overcommit = 16
  osds           = 3
  osd_gib        = 3576 # 3.84 TB

  root_device {
    rotational   = false
    max_size_gib = 1000
  }

  osd_device {
    rotational   = false
    min_size_gib = 3000
  }

  bond "bond0" {
    mode    = "active-backup" # one port to each interconnect module of the frame
    members = ["lan0", "lan1"]
  }

  bridge "br-ex" {
    uplink = "bond0"

    vlan "stor0" {
      network = "storage"
    }
  }
}

secrets {
  age = "secrets.age"
}

rollout {
  order           = ["home/r1"]
  max_unavailable = "1 chassis per zone"
  survive         = "A+C"
  bake            = "15m"
  canary          = 1
}
