package engineio

import (
	"compress/gzip"
	"compress/zlib"
	"io"
	"strings"
	"testing"
)

func TestPollingCompression(t *testing.T) {
	long := strings.Repeat("compress me ", 1000)
	inflate := map[string]func(string) string{
		"": func(s string) string { return s },
		"gzip": func(s string) string {
			z, err := gzip.NewReader(strings.NewReader(s))
			if err != nil {
				return err.Error()
			}
			b, err := io.ReadAll(z)
			if err != nil {
				return err.Error()
			}
			return string(b)
		},
		"deflate": func(s string) string {
			z, err := zlib.NewReader(strings.NewReader(s))
			if err != nil {
				return err.Error()
			}
			b, err := io.ReadAll(z)
			if err != nil {
				return err.Error()
			}
			return string(b)
		},
	}
	for _, c := range []struct {
		name, accept, message, want string
		off, plain                  bool
		level                       int
	}{
		{name: "gzip", accept: "gzip, deflate, br", message: long, want: "gzip"},
		{name: "best gzip", accept: "gzip", message: long, want: "gzip", level: 9},
		{name: "deflate", accept: "deflate", message: long, want: "deflate"},
		{name: "none accepted", message: long},
		{name: "other accepted", accept: "br", message: long},
		{name: "short", accept: "gzip", message: "short"},
		{name: "below the threshold", accept: "gzip", message: long[:1022]},
		{name: "at the threshold", accept: "gzip", message: long[:1023], want: "gzip"},
		{name: "not to be compressed", accept: "gzip", message: long, plain: true},
		{name: "switched off", accept: "gzip", message: long, off: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, p := newRig(t, setup{options: func(o *Options) {
				o.HTTPCompression.Level = c.level
				if c.off {
					o.HTTPCompression = nil
				}
			}}).poll()
			for range 3 { // the compressors are used again
				f := NewTextFrame(c.message)
				if c.plain {
					f = f.NoCompress()
				}
				p.Send(f) //nolint:errcheck // the answer tells
				req := client.request("GET", "")
				req.Header.Set("Accept-Encoding", c.accept)
				a := client.do(req)
				if got := a.header.Get("Content-Encoding"); got != c.want {
					t.Fatalf("encoded by %q, want %q", got, c.want)
				}
				if c.want != "" && len(a.body) >= len(c.message) {
					t.Errorf("%d bytes became %d", len(c.message), len(a.body))
				}
				if got := inflate[c.want](a.body); got != "4"+c.message {
					t.Errorf("got %.60q", got)
				}
			}
		})
	}
}

func TestAcceptedEncoding(t *testing.T) {
	for header, want := range map[string]string{
		"":                              "",
		"identity":                      "",
		"gzip":                          "gzip",
		"GZIP":                          "gzip",
		"deflate, gzip;q=1.0, *;q=0.5":  "gzip",
		"gzip;q=0.2, deflate;q=0.8":     "deflate",
		"gzip;q=0":                      "",
		"gzip;q=0.000, deflate;q=0.001": "deflate",
		"gzip;q=0, *":                   "deflate",
		"*":                             "gzip",
		"*;q=0":                         "",
		"br;q=1.0, gzip; q=0.8":         "gzip",
		" , ,gzip":                      "gzip",
	} {
		if got := acceptedEncoding(header); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
}
