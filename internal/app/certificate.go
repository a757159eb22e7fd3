package app

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// certificateCheckInterval bounds how often handshakes look at the files.
const certificateCheckInterval = time.Second

// certificate is a key pair from two files that is read again when they change. The handshakes
// themselves look, so that no watcher and no goroutine is needed, and a file that is replaced through a
// symbolic link, as Kubernetes does, is found as well.
type certificate struct {
	logger zerolog.Logger

	mu      sync.Mutex
	files   [2]string // certificate, key
	stamps  [2]stamp
	checked time.Time
	pair    *tls.Certificate
	failure string // the last one, so that it is logged once and not with every handshake
}

// A stamp differs when a file was written anew.
type stamp struct {
	modified time.Time
	size     int64
}

func loadCertificate(cert, key string, logger zerolog.Logger) (*certificate, error) {
	c := &certificate{logger: logger}
	if err := c.use(cert, key); err != nil {
		return nil, err
	}
	return c, nil
}

// use reads another pair of files; on an error everything stays as it was.
func (c *certificate) use(cert, key string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	files := [2]string{cert, key}
	stamps, err := stampsOf(files)
	if err != nil {
		return fmt.Errorf("read the certificate: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("read the certificate: %w", err)
	}
	c.files, c.stamps, c.pair, c.checked = files, stamps, &pair, time.Now()
	return nil
}

// get implements tls.Config.GetCertificate. A pair that can't be read, such as one of which only the first
// file has been replaced yet, leaves the old one in use.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) < certificateCheckInterval {
		return c.pair, nil
	}
	c.checked = time.Now()
	stamps, err := stampsOf(c.files)
	if err == nil && stamps == c.stamps {
		return c.pair, nil
	}
	var pair tls.Certificate
	if err == nil {
		// Remembered even if the files don't fit together: they are read again when they change again.
		c.stamps = stamps
		pair, err = tls.LoadX509KeyPair(c.files[0], c.files[1])
	}
	if err != nil {
		if err.Error() != c.failure {
			c.failure = err.Error()
			c.logger.Error().Err(err).Str("cert", c.files[0]).Msg("the changed certificate can't be read, the old one stays in use")
		}
		return c.pair, nil
	}
	c.pair, c.failure = &pair, ""
	c.logger.Info().Str("cert", c.files[0]).Time("expires", pair.Leaf.NotAfter).Msg("certificate read again")
	return c.pair, nil
}

func stampsOf(files [2]string) (stamps [2]stamp, err error) {
	for i, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			return stamps, err
		}
		stamps[i] = stamp{info.ModTime(), info.Size()}
	}
	return stamps, nil
}
