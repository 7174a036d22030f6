site "s" {
  for_each = range(2)

  bmc {
    credentials = secret("bmc")
    pin         = "sha256:0000000000000000000000000000000000000000000000000000000000000000" # no such machines
  }

  region "r" {
    for_each = range(2 * site.value, 2 * site.value + 2)
    profile  = "blade-${each.value}"

    ceph {
      # Three copies want three places at least, and one more to be rolled with one lost: racks where there are as many, else chassis, else hosts.
      failure_domain = (local.racks[2 * region.value] + local.racks[2 * region.value + 1] > 3 ? "rack" :
      local.chassis[2 * region.value] + local.chassis[2 * region.value + 1] > 3 ? "chassis" : "host")
      network = "storage-${region.value}"

      pool "vms" {
        size     = 3
        min_size = 2
      }
    }

    workload {
      vms   = var.vms_per_node * (local.blades[2 * region.value] + local.blades[2 * region.value + 1])
      seed  = 1 + region.value
      apart = 0.03

      flavor "small" {
        vcpus       = 1
        memory_mib  = 4096
        weight      = 40
        dirty_mib_s = 5
      }
      flavor "medium" {
        vcpus       = 2
        memory_mib  = 8192
        weight      = 35
        dirty_mib_s = 20
      }
      flavor "large" {
        vcpus       = 4
        memory_mib  = 16384
        weight      = 20
        dirty_mib_s = 60
      }
      flavor "huge" {
        vcpus       = 8
        memory_mib  = 65536
        weight      = 5
        dirty_mib_s = 200
      }
    }

    zone "az" {
      for_each = range(2 * region.value, 2 * region.value + 2)

      rack "k" {
        for_each = range(local.racks[zone.value])
        name     = format("k%02d", each.value)

        chassis "c" {
          for_each = range(ceil(min(40, local.blades[zone.value] - 40 * rack.value) / 10))
          name     = "c${each.value}"

          node "blade" {
            for_each = range(min(10, local.blades[zone.value] - 40 * rack.value - 10 * chassis.value))
            name     = format("z%d-k%02d-c%d-b%d", zone.value, rack.value, chassis.value, each.value)
            slot     = each.value + 1

            # Three monitors in the first zone of a region, two in the second: in racks, else in chassis of their own where there are enough.
            roles = (contains([0, 1, zone.index == 0 ? 2 : 0], (40 * rack.value + 10 * chassis.value + each.value) / (
              local.racks[zone.value] > 2 ? 40 : local.chassis[zone.value] > 2 ? 10 : 1))
              ? ["compute", "ceph-osd", "ceph-mon", "ceph-mgr"]
            : null)

            bmc {
              address = format("redfish+https://10.%d.%d.%d/redfish/v1/Systems/1", 128 + zone.value, rack.value, 10 + 10 * chassis.value + each.value)
            }
            nic "lan0" {
              mac     = format("02:%02x:%02x:%02x:00:%02x", zone.value, rack.value, chassis.value, each.value)
              network = "provision-${zone.value}"
            }
            nic "lan1" {
              mac = format("02:%02x:%02x:%02x:01:%02x", zone.value, rack.value, chassis.value, each.value)
            }
          }
        }
      }
    }
  }
}
