package model

// Filesystem is a region's CephFS: one rank, which one metadata server serves while those of the other nodes with role ceph-mds stand by. Its pools are
// declared beside it, for application "cephfs".
type Filesystem struct {
	Name     string `json:"name"`
	Metadata string `json:"metadata"` // a replicated pool
	// Data are its data pools. The first, a replicated one, holds what is put nowhere else, and the back-pointers of every file; it is for good.
	Data []string `json:"data"`
}

// ObservedFilesystem is a file system as the monitors' map has it.
type ObservedFilesystem struct {
	Name     string   `json:"name"`
	Metadata string   `json:"metadata,omitempty"` // pools by name; the first data pool is the default one
	Data     []string `json:"data,omitempty"`
	MaxMDS   int      `json:"max_mds"`
	// Ranks counts those that are in: more than MaxMDS while some are being ended.
	Ranks int `json:"ranks,omitempty"`
	// StandbyReplay: standbys follow the journals of those that serve (allow_standby_replay), or still do.
	StandbyReplay bool `json:"standby_replay,omitempty"`
	// Failed: it was taken down by hand, and no metadata server may join it.
	Failed bool `json:"failed,omitempty"`
}
