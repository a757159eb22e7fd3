package app

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is that of the build, as the go command stamped it: a tag, or a commit for a build in between.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

func versionLine() string {
	return fmt.Sprintf("holdfast %s (%s, %s/%s)", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
