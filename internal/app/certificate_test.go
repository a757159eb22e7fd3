package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/config"
)

// writeCertificate puts a new self-signed certificate for a name into the two files.
func writeCertificate(t *testing.T, name, cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: der},
		key:  {Type: "EC PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, "first", cert, key)
	r := start(t, func(c *config.Config) { c.TLS = config.TLS{Cert: cert, Key: key} }, nil)
	address, ok := strings.CutPrefix(r.url, "https://")
	if !ok {
		t.Fatalf("the URL is %s", r.url)
	}
	served := func() string {
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // self-signed
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	lookAgain := func() {
		r.app.cert.mu.Lock()
		defer r.app.cert.mu.Unlock()
		r.app.cert.checked = time.Time{}
	}

	if got := served(); got != "first" {
		t.Fatalf("got the certificate %s", got)
	}
	writeCertificate(t, "second", cert, key)
	lookAgain()
	if got := served(); got != "second" {
		t.Errorf("after a change: %s", got)
	}

	// Only one of the two has arrived yet.
	third, thirdKey := filepath.Join(dir, "third.pem"), filepath.Join(dir, "third-key.pem")
	writeCertificate(t, "third", third, thirdKey)
	if err := os.Rename(third, cert); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		lookAgain()
		if got := served(); got != "second" {
			t.Errorf("with half a change: %s", got)
		}
	}
	if n := strings.Count(r.log.String(), "the old one stays in use"); n != 1 {
		t.Errorf("%d log lines of it", n)
	}
	if err := os.Rename(thirdKey, key); err != nil {
		t.Fatal(err)
	}
	lookAgain()
	if got := served(); got != "third" {
		t.Errorf("with the other half: %s", got)
	}

	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	lookAgain()
	if got := served(); got != "third" {
		t.Errorf("without the file: %s", got)
	}
}

func TestReloadMovesToOtherCertificateFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, "first", cert, key)
	r := start(t, func(c *config.Config) { c.TLS = config.TLS{Cert: cert, Key: key} }, nil)

	other, otherKey := filepath.Join(dir, "other.pem"), filepath.Join(dir, "other-key.pem")
	next := *config.Default()
	next.Listen = "127.0.0.1:0"
	next.TLS = config.TLS{Cert: other, Key: otherKey}
	r.app.Reload(t.Context(), &next)
	eventually(t, "missing files are refused", func() bool { return strings.Contains(r.log.String(), "can't be read") })

	writeCertificate(t, "other", other, otherKey)
	again := next
	r.app.Reload(t.Context(), &again)
	eventually(t, "the other files are in use", func() bool {
		return strings.Contains(r.log.String(), `"changed":["tls.cert","tls.key"]`)
	})
	conn, err := tls.Dial("tcp", strings.TrimPrefix(r.url, "https://"), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // self-signed
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.ConnectionState().PeerCertificates[0].Subject.CommonName; got != "other" {
		t.Errorf("got the certificate %s", got)
	}
}

func TestBrokenCertificateStopsTheStart(t *testing.T) {
	c := testConfig()
	c.TLS = config.TLS{Cert: "nowhere.pem", Key: "nowhere.pem"}
	if _, err := newApp(c, testLogger(), nil); err == nil || !strings.Contains(err.Error(), "nowhere.pem") {
		t.Errorf("got %v", err)
	}
}
