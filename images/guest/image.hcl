# A virtual machine small enough to show that a host works: Debian's cloud kernel and a static busybox. It takes its address from the
# kernel command line, answers ping, and says on the serial console that it is there.

image {
  kind     = "guest"
  release  = "trixie"
  epoch    = "2026-01-01T00:00:00Z"
  packages = ["linux-image-cloud-amd64", "busybox-static", "base-files"]
  modules  = ["guest"]
  exclude  = ["/usr/share/*"]

  # nothing but busybox, the modules and what is below
  keep = ["/usr/bin/busybox", "/bin", "/sbin", "/lib", "/lib64", "/proc", "/sys", "/dev", "/run", "/tmp"]

  file "/init" {
    source = "guest/init"
    mode   = "0755"
  }
  file "/disk-write" {
    source = "guest/disk-write"
    mode   = "0755"
  }
  file "/disk-read" {
    source = "guest/disk-read"
    mode   = "0755"
  }
  file "/etc/acpi/PWRF/00000080" {
    source = "guest/power"
    mode   = "0755"
  }
}
