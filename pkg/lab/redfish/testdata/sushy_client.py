"""Drives the emulator with python3-sushy: URL, user, password and CA file are the arguments."""

import sys

import sushy
from sushy import auth


def check(what, got, want):
    if got != want:
        sys.exit("%s: got %r, want %r" % (what, got, want))


url, user, password, ca = sys.argv[1:5]
session = auth.SessionAuth(username=user, password=password)
root = sushy.Sushy(url, auth=session, verify=ca)
system = root.get_system_collection().get_members()[0]
check("serial", system.serial_number, "SER-1")
check("power before", system.power_state, sushy.PowerState.OFF)
check("memory", system.memory_summary.size_gib, 64)
system.set_system_boot_options(target=sushy.BootSource.PXE, enabled=sushy.BootSourceOverrideEnabled.ONCE)
system.refresh(force=True)
check("target", system.boot.target, sushy.BootSource.PXE)
check("enabled", system.boot.enabled, sushy.BootSourceOverrideEnabled.ONCE)
system.bios.set_attribute("SriovGlobalEnable", "Enabled")
system.bios.refresh(force=True)
check("pending attribute", system.bios.pending_attributes, {"SriovGlobalEnable": "Enabled"})
system.reset_system(sushy.ResetType.ON)
system.refresh(force=True)
check("power after", system.power_state, sushy.PowerState.ON)
check("override used up", system.boot.enabled, sushy.BootSourceOverrideEnabled.DISABLED)
system.bios.refresh(force=True)
check("attribute", system.bios.attributes["SriovGlobalEnable"], "Enabled")
check("mac", system.ethernet_interfaces.summary, {"52:54:00:00:00:01": sushy.State.ENABLED})
cd = root.get_manager_collection().get_members()[0].virtual_media.get_members()[0]
cd.insert_media("http://192.0.2.1/boot.iso")
cd.refresh(force=True)
check("image", cd.image, "http://192.0.2.1/boot.iso")
cd.eject_media()
cd.refresh(force=True)
check("inserted", cd.inserted, False)
chassis = root.get_chassis_collection().get_members()[0]
check("temperatures", len(chassis.thermal.temperatures), 2)
check("power reading", len(chassis.power.power_supplies), 0)
session.close()
print("ok")
