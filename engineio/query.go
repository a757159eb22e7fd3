package engineio

import (
	"net/url"
	"strings"
)

// query is what the protocol reads of a query string.
type query struct{ eio, transport, sid string }

// parseQuery takes the first value of each name, without making a map of them.
func parseQuery(raw string) query {
	var q query
	for part := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(part, "=")
		var to *string
		switch name {
		case "EIO":
			to = &q.eio
		case "transport":
			to = &q.transport
		case "sid":
			to = &q.sid
		default:
			continue
		}
		if strings.ContainsAny(value, "%+") {
			plain, err := url.QueryUnescape(value)
			if err != nil {
				continue
			}
			value = plain
		}
		if *to == "" {
			*to = value
		}
	}
	return q
}
