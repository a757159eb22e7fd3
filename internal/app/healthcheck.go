package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"holdfast/internal/config"
)

type healthcheckCommand struct {
	configFlag
	URL     string        `placeholder:"URL" help:"Address to ask; by default /healthz at the address of the configuration."`
	Timeout time.Duration `default:"3s" help:"How long to wait for the answer."`
}

// Run succeeds when the server answers with status 200.
func (c *healthcheckCommand) Run(to *terminalOutput) error {
	target, transport := c.URL, &http.Transport{DisableKeepAlives: true}
	if target == "" {
		loaded, err := c.load()
		if err != nil {
			return err
		}
		target = healthURL(loaded)
		// The question goes to this very machine, by an address that no certificate names.
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // see above
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s: %s", target, response.Status, strings.TrimSpace(string(body)))
	}
	_, err = fmt.Fprintln(to.out, "healthy")
	return err
}

// healthURL asks a server that listens on every interface over loopback.
func healthURL(c *config.Config) string {
	scheme := "http"
	if c.TLS.Enabled() {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + "/healthz"
}
