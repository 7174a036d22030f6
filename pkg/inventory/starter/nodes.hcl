# The tree of places: site, region, zone, rack, (chassis,) node.

site "here" {
  region "r1" {
    zone "az1" {
      rack "a" {
        # What every bmc block in this rack has in common.
        bmc {
          # A name in the secret store: see README.md in this directory.
          credentials = secret("bmc")

          # Verify the certificates of the management controllers: with their authority …
          #   ca = file("bmc-ca.pem")
          # … or, for one machine, with the digest of its own:
          #   pin = "sha256:…"
          # Until then, loudly:
          insecure = true
        }

        node "blade" {
          for_each = range(1, var.blades + 1)
          name     = format("blade-%02d", each.value)
          profile  = "compute"

          bmc {
            address = format("redfish+https://10.20.9.%d/redfish/v1/Systems/1", 10 + each.value)
          }

          # The MAC address of the card that boots. Its address on the network is allotted and kept.
          nic "eth0" {
            mac = format("02:00:00:00:00:%02x", each.value)
          }
        }
      }
    }
  }
}
