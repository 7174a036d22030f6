// Package images holds the definitions of the images that nuboctl builds: one folder an image, each with an image.hcl, and the
// lists of kernel modules that several of them share. pkg/image reads them; nothing else is in here.
package images

import "embed"

// FS is this folder as it was when the program was built.
//
//go:embed */*
var FS embed.FS
