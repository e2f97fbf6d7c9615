// Package settings is how a plugin reads its settings in Configure: every key
// known, defaults in their place, numbers in their bounds, and connections that
// trust what ca_file names.
//
// Errors are for the operator: they name the setting and what it should be, and
// never quote what a file holds.
package settings

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// CAFile is the setting that Client reads, by the name that all plugins give it.
const CAFile = "ca_file"

// Values are all settings with what is given for them, trimmed, and their
// defaults where that is nothing. A key that is not known is refused, for it is
// most likely a misspelt one.
func Values(known []provider.Setting, given map[string]string) (map[string]string, error) {
	values := make(map[string]string, len(known))
	for _, s := range known {
		values[s.Name] = s.Default
	}
	for k, v := range given {
		if _, ok := values[k]; !ok {
			return nil, fmt.Errorf("unknown setting %q", k)
		}
		if v = strings.TrimSpace(v); v != "" {
			values[k] = v
		}
	}
	return values, nil
}

// Number is a whole number with its bounds, and where it goes.
type Number struct {
	Name     string
	Min, Max int64
	Set      func(int64)
}

// ReadNumbers reads numbers.
func ReadNumbers(values map[string]string, numbers ...Number) error {
	for _, n := range numbers {
		v, err := strconv.ParseInt(values[n.Name], 10, 64)
		if err != nil || v < n.Min || v > n.Max {
			return fmt.Errorf("%s %q is not a number from %d to %d", n.Name, values[n.Name], n.Min, n.Max)
		}
		n.Set(v)
	}
	return nil
}

// List takes a list apart, at commas and spaces.
func List(v string) []string {
	return strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' })
}

// OneOf refuses what is none of the choices.
func OneOf(values map[string]string, name string, choices ...string) error {
	if !slices.Contains(choices, values[name]) {
		return fmt.Errorf("%s %q is none of %s", name, values[name], strings.Join(choices, ", "))
	}
	return nil
}

// Transport makes connections that trust the system's authorities and those of
// the file that the setting ca_file names. Everything that waits has a bound but
// the body, which pace.Body bounds.
func Transport(values map[string]string) (*http.Transport, error) {
	var roots *x509.CertPool // nil means the system's
	if file := values[CAFile]; file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", CAFile, err)
		}
		if roots, err = x509.SystemCertPool(); err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s %s holds no certificate", CAFile, file)
		}
	}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: 2 * time.Minute,
		// Providers' headers have some kilobytes.
		MaxResponseHeaderBytes: 256 << 10,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConns:           512,
		MaxIdleConnsPerHost:    256,
		ForceAttemptHTTP2:      true,
	}, nil
}

// Client goes by a transport, and follows no redirect: it would carry the token,
// or the client's secret, elsewhere. A timeout of 0 leaves the time to the
// caller.
func Client(transport http.RoundTripper, timeout time.Duration) *http.Client {
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       timeout,
	}
}
