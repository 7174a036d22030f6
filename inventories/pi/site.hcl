site "home" {
  profile = "synergy"

  # bmc-ca.pem is an example: put the certificate of your own authority there.
  bmc {
    credentials = secret("ilo")
    ca          = file("bmc-ca.pem")
  }

  region "r1" {
    exposure = "internal"

    ceph {
      failure_domain = "zone"
      network        = "storage"

      pool "vms" {
        size     = 3
        min_size = 2
      }
    }

    workload {
      vms   = 15000
      vcpus = 30000
      seed  = 1
      apart = 0.04

      flavor "small" {
        vcpus       = 1
        memory_mib  = 8192
        weight      = 6000
        dirty_mib_s = 5
      }
      flavor "medium" {
        vcpus       = 2
        memory_mib  = 16384
        weight      = 6000
        dirty_mib_s = 15
      }
      flavor "large" {
        vcpus       = 4
        memory_mib  = 32768
        weight      = 3000
        dirty_mib_s = 50
      }
    }

    # Five power and network domains, so that five monitors keep their majority through the loss of any two.
    zone "az" {
      for_each = range(1, 6)
      name     = "az${each.value}"

      rack "a" {
        chassis "frame" {
          for_each = range(1, 3)
          name     = "frame${each.value}"

          # In the first frame two blades have 16 cores, in the second three; the first blade of each first frame is a monitor.
          node "blade" {
            for_each = range(1, 12)
            name     = format("pi-%d-%d-%02d", zone.value, chassis.value, each.value)
            slot     = each.value
            cores    = each.value > 10 - chassis.value ? 16 : 20
            roles    = chassis.value == 1 && each.value == 1 ? ["compute", "ceph-osd", "ceph-mon", "ceph-mgr"] : null

            bmc {
              address = format("ilo5-redfish://10.8.%d.%d/redfish/v1/Systems/1", 7 + chassis.value, 20 * zone.value + each.value)
            }
            nic "lan0" {
              mac     = format("02:01:%02x:%02x:00:%02x", zone.value, chassis.value, each.value)
              network = "provision"
            }
            nic "lan1" {
              mac = format("02:01:%02x:%02x:01:%02x", zone.value, chassis.value, each.value)
            }
          }
        }
      }
    }
  }
}
