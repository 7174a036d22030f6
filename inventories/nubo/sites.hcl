site "site" {
  for_each = local.sites
  name     = each.key

  # bmc-ca.pem is an example: put the certificate of your own authority there.
  bmc {
    credentials = secret("bmc-${site.name}")
    ca          = file("bmc-ca.pem")
  }

  region "region" {
    for_each     = each.value.regions
    name         = each.value
    vm_authority = "nova"
    exposure     = endswith(each.value, "-ext") ? "internet" : "internal"

    ceph {
      failure_domain = "rack"
      network        = "storage-${region.name}"

      pool "vms" {
        size         = 3
        min_size     = 2
        device_class = "ssd"
      }

      pool "objects" {
        k            = 4
        m            = 2
        application  = "rgw"
        device_class = "hdd"
      }
    }

    # Weights are the counts of one region: 325 + 2,050 + 700 + 300 = 3,375 VMs; 325×1 + 2,050×2 + 700×4 + 300×8 = 9,625 vCPU.
    workload {
      vms   = 3375
      vcpus = 9625
      seed  = 1 + region.index + 2 * site.value.number
      apart = 0.06

      flavor "small" {
        vcpus       = 1
        memory_mib  = 4096
        weight      = 325
        dirty_mib_s = 5
      }
      flavor "medium" {
        vcpus       = 2
        memory_mib  = 8192
        weight      = 2050
        dirty_mib_s = 20
      }
      flavor "large" {
        vcpus       = 4
        memory_mib  = 32768
        weight      = 700
        dirty_mib_s = 60
      }
      flavor "huge" {
        vcpus       = 8
        memory_mib  = 65536
        weight      = 300
        dirty_mib_s = 200
      }
    }

    zone "zone" {
      for_each = local.zones
      name     = each.value

      rack "rack" {
        for_each = local.racks
        name     = each.key

        chassis "c1" {
          profile = "blade-${region.name}"

          node "blade" {
            for_each   = range(1, rack.value + 1)
            name       = format("%s-%d-%s-%02d", region.name, 1 + zone.index, rack.name, each.value)
            slot       = each.value
            memory_gib = rack.name == "c" && each.value == 9 ? 1280 : null # the oldest blade of a zone has 20 × 64 GiB

            bmc {
              address = format("redfish+https://10.2.%d.%d/redfish/v1/Systems/1", local.zone_numbers["${region.name}-${zone.name}"], 20 * rack.index + each.value)
            }
            nic "lan0" {
              mac     = format("02:00:%02x:%02x:00:%02x", local.zone_numbers["${region.name}-${zone.name}"], rack.index, each.value)
              network = "provision-${region.name}-${zone.name}"
            }
            nic "lan1" {
              mac = format("02:00:%02x:%02x:01:%02x", local.zone_numbers["${region.name}-${zone.name}"], rack.index, each.value)
            }
          }
        }

        # The first block node of racks a, b and c of az1, and of a and b of az2, is a monitor.
        node "block" {
          for_each = range(1, 3)
          name     = format("%s-%d-%s-block-%d", region.name, 1 + zone.index, rack.name, each.value)
          profile  = "block-${region.name}"
          roles    = each.value == 1 && rack.index + zone.index < 3 ? ["ceph-osd", "ceph-mon", "ceph-mgr"] : ["ceph-osd"]

          bmc {
            address = format("redfish+https://10.2.%d.%d/redfish/v1/Systems/1", local.zone_numbers["${region.name}-${zone.name}"], 100 + 10 * rack.index + each.value)
          }
          nic "lan0" {
            mac     = format("02:00:%02x:%02x:10:%02x", local.zone_numbers["${region.name}-${zone.name}"], rack.index, each.value)
            network = "provision-${region.name}-${zone.name}"
          }
          nic "lan1" {
            mac = format("02:00:%02x:%02x:11:%02x", local.zone_numbers["${region.name}-${zone.name}"], rack.index, each.value)
          }
        }

        node "object" {
          name    = format("%s-%d-%s-object", region.name, 1 + zone.index, rack.name)
          profile = "object-${region.name}"

          bmc {
            address = format("redfish+https://10.2.%d.%d/redfish/v1/Systems/1", local.zone_numbers["${region.name}-${zone.name}"], 150 + rack.index)
          }
          nic "lan0" {
            mac     = format("02:00:%02x:%02x:20:01", local.zone_numbers["${region.name}-${zone.name}"], rack.index)
            network = "provision-${region.name}-${zone.name}"
          }
          nic "lan1" {
            mac = format("02:00:%02x:%02x:21:01", local.zone_numbers["${region.name}-${zone.name}"], rack.index)
          }
        }
      }
    }
  }
}
