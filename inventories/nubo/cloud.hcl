# A large cloud: 2 sites, 4 regions, 8 availability zones.
#
# How the figures add up, and in which units:
#
#   blades    8 zones × 29 blades                                    = 232 blades
#   cores     232 × 72 (two sockets of 36)                           = 16,704 cores, all on blades that carry virtual machines
#   memory    8 × (28 × 1,536 GiB + 1 × 1,280 GiB) = 8 × 44,288 GiB  = 354,304 GiB = 346 TiB (what is commonly written "346 TB" of RAM)
#   VMs       4 regions × 3,375 = 13,500 VMs; 4 × 9,625 = 38,500 vCPU: 2.3 vCPU per core
#
# Beside the blades, and not in these sums, stand storage nodes: in each of the 24 racks two for block and one for object storage. Their
# sizes are decimal (1 TB = 10^12 bytes), as vendors and users of storage count; a cluster is full at 85 %.
#
#   block     48 nodes × 20 OSDs × 7.68 TB = 7,372.8 TB raw; three copies, 85 % full = 2,089 TB: 2 PB
#   object    24 nodes × 12 OSDs × 16 TB   = 4,608.0 TB raw; 4+2 coding, 85 % full   = 2,611 TB: 2.5 PB
#
# A region has two zones, so its monitors (three and two) lose their majority with the first zone: a rollout is graded with that in mind.

cloud "nubo" {
  domain  = "nubo.example"
  release = "trixie"
  dns     = ["10.0.0.53", "10.0.0.54"]
  ntp     = ["ntp1.nubo.example", "ntp2.nubo.example"]
}

locals {
  sites = {
    north = { number = 0, regions = ["north-int", "north-ext"] }
    south = { number = 1, regions = ["south-int", "south-ext"] }
  }
  regions = ["north-int", "north-ext", "south-int", "south-ext"]
  zones   = ["az1", "az2"]
  racks   = { a = 10, b = 10, c = 9 } # blades in each: 29 in a zone

  # One provisioning network for each zone, numbered 0 to 7.
  zone_numbers = { for i, pair in setproduct(local.regions, local.zones) : "${pair[0]}-${pair[1]}" => i }
}

network "provision" {
  for_each = local.zone_numbers
  name     = "provision-${each.key}"
  cidr     = cidrsubnet("10.16.0.0/13", 7, each.value)
  gateway  = cidrhost(cidrsubnet("10.16.0.0/13", 7, each.value), 1)

  dhcp {
    mode = "authoritative"
  }

  relay {
    address = cidrhost(cidrsubnet("10.16.0.0/13", 7, each.value), 2)
  }
}

network "management" {
  cidr = "10.2.0.0/16"
}

# Ceph's traffic: one network for each region, over both of its zones.
network "storage" {
  for_each = local.regions
  name     = "storage-${each.value}"
  cidr     = cidrsubnet("10.32.0.0/12", 4, each.index)
  vlan     = 101 + each.index
  mtu      = 9000
}

secrets {
  age = "secrets.age"
}

rollout {
  order           = ["north/north-int", "south/south-int", "north/north-ext", "south/south-ext"]
  max_unavailable = "1 rack per zone"
  survive         = "A+C"
  bake            = "30m"
  canary          = 1
}
