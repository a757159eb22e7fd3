package httpapi

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"mime"
	"path"

	"github.com/gin-gonic/gin"
)

// pages are the static files, by their path in the URL.
type pages struct {
	files  map[string]*content
	policy string
}

// loadPages reads all of root. Its names carry no hash of their content, so that a browser has to ask
// each time; the ETag makes the answer short.
func loadPages(root fs.FS, policy string) (*pages, error) {
	p := &pages{files: map[string]*content{}, policy: policy}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		etag := fmt.Sprintf(`"%x"`, sha256.Sum256(data))[:17] + `"`
		file := newContent(mediaType(name), "no-cache", etag, data)
		p.files["/"+name] = file
		if path.Base(name) == "index.html" {
			p.files[path.Clean("/"+path.Dir(name))] = file
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the pages: %w", err)
	}
	return p, nil
}

// mediaTypes doesn't leave to the machine's own tables what browsers insist on for modules.
var mediaTypes = map[string]string{
	".css":   "text/css; charset=utf-8",
	".html":  "text/html; charset=utf-8",
	".ico":   "image/x-icon",
	".js":    "text/javascript; charset=utf-8",
	".json":  "application/json; charset=utf-8",
	".png":   "image/png",
	".svg":   "image/svg+xml",
	".txt":   "text/plain; charset=utf-8",
	".woff2": "font/woff2",
}

func mediaType(name string) string {
	if known, ok := mediaTypes[path.Ext(name)]; ok {
		return known
	}
	if known := mime.TypeByExtension(path.Ext(name)); known != "" {
		return known
	}
	return "application/octet-stream"
}

func (p *pages) mount(r gin.IRouter) {
	for at, file := range p.files {
		serve := func(c *gin.Context) {
			c.Header("Content-Security-Policy", p.policy)
			c.Header("Referrer-Policy", "no-referrer")
			file.serve(c)
		}
		r.GET(at, serve)
		r.HEAD(at, serve)
	}
}
