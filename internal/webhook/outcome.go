package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/outbox"
)

// outcome reads the status, and the wish to be left alone.
func outcome(resp *http.Response, now time.Time) outbox.Outcome {
	out := outbox.Outcome{Status: resp.StatusCode, Header: kept(resp.Header)}
	switch s := resp.StatusCode; {
	case s >= 200 && s <= 299:
		out.OK, out.Class = true, outbox.ClassOK
		return out
	case s >= 300 && s <= 399:
		out.Class, out.Error = outbox.Class3xx, fmt.Sprintf("answered %d: redirects are not followed", s)
		return out
	case s == http.StatusGone:
		out.Class = outbox.Class410
	case s == http.StatusRequestTimeout:
		out.Class = outbox.Class408
	case s == http.StatusTooEarly:
		out.Class = outbox.Class425
	case s == http.StatusTooManyRequests:
		out.Class = outbox.Class429
	case s >= 400 && s <= 499:
		out.Class = outbox.Class4xx
	default:
		out.Class = outbox.Class5xx
	}
	out.Error = strings.TrimSpace(fmt.Sprintf("answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode)))
	if out.Class != outbox.Class4xx && out.Class != outbox.Class410 {
		out.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), now)
	}
	return out
}

// retryAfter reads RFC 9110, 10.2.3: seconds or a date.
func retryAfter(v string, now time.Time) time.Duration {
	v = strings.TrimSpace(v)
	const longest = 366 * 24 * time.Hour
	if v != "" && strings.Trim(v, "0123456789") == "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n > int64(longest/time.Second) {
			return longest
		}
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, min(longest, at.Sub(now)))
	}
	return 0
}

// failure says why there is no answer.
func failure(ctx context.Context, err error, opts CarrierOptions) outbox.Outcome {
	var refused *RefusedError
	var proxy *proxyError
	var timeout net.Error
	switch {
	case errors.As(err, &refused):
		return outbox.Outcome{Class: outbox.ClassGuard, Error: refused.Error()}
	case errors.As(err, &proxy):
		return outbox.Outcome{Class: outbox.ClassProxy, Error: proxy.Error()}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return outbox.Outcome{Class: outbox.ClassTimeout, Error: fmt.Sprintf("no answer within %s", opts.Total)}
	case errors.As(err, &timeout) && timeout.Timeout():
		return outbox.Outcome{Class: outbox.ClassTimeout, Error: err.Error()}
	}
	return outbox.Outcome{Class: outbox.ClassNetwork, Error: err.Error()}
}

// Limits of what is kept of an answer's header.
const (
	maxKeptLine   = 256
	maxKeptHeader = 2 << 10
)

// kept selects what helps to find out what a receiver did: who answered, what
// it is, where it points, and under which number it was logged there. Nothing
// else is kept, least of all cookies.
func kept(h http.Header) []string {
	var lines []string
	size := 0
	for _, name := range []string{
		"Content-Type", "Content-Length", "Content-Encoding", "Date", "Location", "Retry-After", "Server", "Via",
		"X-Request-Id", "X-Correlation-Id", "Traceparent", "Cf-Ray", "X-Amzn-Requestid", "X-Amzn-Trace-Id",
		"Ratelimit-Reset", "X-Ratelimit-Reset",
	} {
		for _, v := range h.Values(name) {
			line := name + ": " + strings.ToValidUTF8(v[:min(len(v), maxKeptLine)], "\ufffd")
			if size += len(line); size > maxKeptHeader {
				return lines
			}
			lines = append(lines, line)
		}
	}
	return lines
}
