package httpapi

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/rs/zerolog"
)

// clientNames are the builds of the official client that Node's server offers, each with its map.
var clientNames = []string{
	"socket.io.js",
	"socket.io.min.js",
	"socket.io.esm.min.js",
	"socket.io.msgpack.min.js",
}

// clientMissing answers for a client that is not installed. It is a script's content for whoever opens
// the address to see why the page doesn't work.
const clientMissing = `404: the Socket.IO browser client is not installed.

Run "npm ci" in Holdfast's directory, where package.json is, and reload the page; the server needs no
restart. Where the client is elsewhere, client_dir in the configuration says so.
`

// mountClient serves the client's files below path, as Node's server does with serveClient.
func mountClient(r gin.IRouter, path string, files *clientFiles) {
	below := "/" + strings.Trim(path, "/") + "/"
	for _, name := range clientNames {
		for _, file := range []string{name, name + ".map"} {
			serve := func(c *gin.Context) { files.serve(c, file) }
			r.GET(below+file, serve)
			r.HEAD(below+file, serve)
		}
	}
}

// clientFiles keeps the files that were asked for in memory, until they change on disk.
type clientFiles struct {
	dirs   []string
	logger zerolog.Logger

	mu   sync.Mutex
	kept map[string]keptFile // by path on disk
}

type keptFile struct {
	modified time.Time
	size     int64
	content  *content
}

func newClientFiles(dirs []string, logger zerolog.Logger) *clientFiles {
	return &clientFiles{dirs: dirs, logger: logger, kept: map[string]keptFile{}}
}

func (f *clientFiles) serve(c *gin.Context, name string) {
	file, err := f.find(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.Header("Cache-Control", "no-store")
		c.String(http.StatusNotFound, clientMissing)
	case err != nil:
		c.Header("Cache-Control", "no-store")
		c.String(http.StatusInternalServerError, "500: the Socket.IO browser client can't be read\n")
		f.logger.Error().Err(err).Msg("the browser client can't be read")
	default:
		file.serve(c)
	}
}

// find returns the file from the first directory that has it.
func (f *clientFiles) find(name string) (*content, error) {
	for _, dir := range f.dirs {
		file, err := f.load(dir, name)
		if !errors.Is(err, fs.ErrNotExist) {
			return file, err
		}
	}
	return nil, fs.ErrNotExist
}

func (f *clientFiles) load(dir, name string) (*content, error) {
	at := filepath.Join(dir, name)
	info, err := os.Stat(at)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if kept, ok := f.kept[at]; ok && kept.size == info.Size() && kept.modified.Equal(info.ModTime()) {
		return kept.content, nil
	}
	data, err := os.ReadFile(at)
	if err != nil {
		return nil, err
	}
	mediaType := "application/javascript; charset=utf-8"
	if strings.HasSuffix(name, ".map") {
		mediaType = "application/json; charset=utf-8"
	}
	// Tag and cache control are those of Node's server: the tag is the client's version.
	file := newContent(mediaType, "public, max-age=0", `"`+clientVersion(dir, info)+`"`, data)
	f.kept[at] = keptFile{modified: info.ModTime(), size: info.Size(), content: file}
	return file, nil
}

// clientVersion reads the version from the package that dir belongs to; a directory without one is
// told apart by the file's time.
func clientVersion(dir string, info fs.FileInfo) string {
	var manifest struct {
		Version string `json:"version"`
	}
	data, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Clean(dir)), "package.json"))
	if err == nil && json.Unmarshal(data, &manifest) == nil && manifest.Version != "" {
		return manifest.Version
	}
	return info.ModTime().UTC().Format("20060102T150405.000")
}

// ClientDirs lists where a client_dir of the configuration may be: an absolute one is itself, a
// relative one is looked for in the working directory, beside the binary and one level above it.
func ClientDirs(dir string) []string {
	if filepath.IsAbs(dir) {
		return []string{dir}
	}
	dirs := []string{dir}
	if binary, err := os.Executable(); err == nil {
		if resolved, err := filepath.EvalSymlinks(binary); err == nil {
			binary = resolved
		}
		beside := filepath.Dir(binary)
		dirs = append(dirs, filepath.Join(beside, dir), filepath.Join(filepath.Dir(beside), dir))
	}
	return dirs
}

// ClientInstalled reports whether the client is in one of dirs.
func ClientInstalled(dirs []string) bool {
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, clientNames[0])); err == nil {
			return true
		}
	}
	return false
}
