//go:build !unix

package pebblelog

import "os"

// allocated is what a file takes on disk.
func allocated(info os.FileInfo) int64 { return info.Size() }
