//go:build unix

package pebblelog

import (
	"os"
	"syscall"
)

// allocated is what a file takes on disk, which preallocation makes more than its length.
func allocated(info os.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}
