package rack

// Fault is a way in which a node, or what leads to it, fails.
type Fault string

// The faults.
const (
	Sound       Fault = ""
	Unreachable Fault = "its BMC does not answer"
	Impostor    Fault = "another machine is behind the address"
	Forgetful   Fault = "its BMC forgets the boot override"
	Keeper      Fault = "its BMC keeps the boot override for always"
	Hung        Fault = "it hangs in its firmware"
	Silent      Fault = "its ramdisk dies after the first write"
	Refused     Fault = "its ramdisk refuses"
	Failed      Fault = "its ramdisk fails after the first write"
	RelayLost   Fault = "the relay of its network does not answer"
	HungFirst   Fault = "it hangs in the warm restart into its host"
	HostSilent  Fault = "its host does not answer"
	HostOther   Fault = "its host runs another image"
	FallsBack   Fault = "its idle slot does not come up"
	Unsound     Fault = "its libvirt does not come up in its idle slot"
	Mute        Fault = "its libvirt does not answer"
	Broken      Fault = "the installation of packages ends with an error"
	Stubborn    Fault = "it does not shut itself down"
	OtherData   Fault = "another disk is in the place of its OSD's"
	OlderOSD    Fault = "its OSD is of an older release than the others"
	Immovable   Fault = "its virtual machines do not migrate"
	Unsafe      Fault = "its batch cannot be certified"
	Degraded    Fault = "placement groups have lost a copy"
	Alarming    Fault = "its region is not healthy"
	// LostReply lets one write take effect, tells its caller that it failed, and is gone with that.
	LostReply Fault = "a reply is lost"
)
