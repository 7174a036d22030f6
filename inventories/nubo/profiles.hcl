# One of each profile for each region, which differ in the storage network alone.

profile "blade" {
  for_each       = local.regions
  name           = "blade-${each.value}"
  image          = "debian-13"
  butane         = "../../profiles/hyperconverged.bu"
  roles          = ["compute"]
  cores          = 72
  memory_gib     = 1536 # 24 × 64 GiB
  cpu_model      = "Icelake-Server-v4"
  cpu_overcommit = 4

  root_device {
    rotational   = false
    min_size_gib = 200
    max_size_gib = 1000
  }

  bond "bond0" {
    mode    = "active-backup" # one card to each switch module of the chassis
    members = ["lan0", "lan1"]
  }

  bridge "br-ex" {
    uplink = "bond0"

    vlan "stor0" {
      network = "storage-${each.value}"
    }
  }
}

profile "block" {
  for_each   = local.regions
  name       = "block-${each.value}"
  image      = "debian-13"
  butane     = "../../profiles/storage.bu"
  roles      = ["ceph-osd"]
  cores      = 48
  memory_gib = 256
  osds       = 20
  osd_gib    = 7152 # 7.68 TB

  root_device {
    model = "BOSS-*"
  }

  osd_device {
    rotational   = false
    min_size_gib = 7000
  }

  bond "bond0" {
    mode    = "balance-tcp"
    members = ["lan0", "lan1"]
  }

  bridge "br-st" {
    uplink = "bond0"

    vlan "stor0" {
      network = "storage-${each.value}"
    }
  }
}

profile "object" {
  for_each   = local.regions
  name       = "object-${each.value}"
  image      = "debian-13"
  butane     = "../../profiles/storage.bu"
  roles      = ["ceph-osd", "ceph-rgw"]
  cores      = 32
  memory_gib = 256
  osds       = 12
  osd_gib    = 14901 # 16 TB

  root_device {
    model = "BOSS-*"
  }

  osd_device {
    rotational   = true
    min_size_gib = 14000
  }

  bond "bond0" {
    mode    = "balance-tcp"
    members = ["lan0", "lan1"]
  }

  bridge "br-st" {
    uplink = "bond0"

    vlan "stor0" {
      network = "storage-${each.value}"
    }
  }
}
