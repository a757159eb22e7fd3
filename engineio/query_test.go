package engineio

import (
	"net/url"
	"testing"
)

func TestParseQuery(t *testing.T) {
	for raw, want := range map[string]query{
		"":                              {},
		"EIO=4&transport=polling":       {"4", "polling", ""},
		"sid=a&EIO=4&t=x&transport=w":   {"4", "w", "a"},
		"EIO=4&EIO=3&sid=a&sid=b":       {"4", "", "a"},
		"EIO=%34&transport=poll%69ng":   {"4", "polling", ""},
		"sid=a+b&EIO=%zz&EIO=4":         {"4", "", "a b"},
		"EIO&transport&sid":             {},
		"&&EIO=4&&":                     {"4", "", ""},
		"eio=4&Transport=polling&SID=a": {},
	} {
		if got := parseQuery(raw); got != want {
			t.Errorf("%q: %+v, want %+v", raw, got, want)
		}
	}
}

// FuzzParseQuery holds parseQuery to net/url where that takes the query.
func FuzzParseQuery(f *testing.F) {
	f.Add("EIO=4&transport=polling&sid=abc")
	f.Add("sid=%41+b&sid=c&EIO")
	f.Fuzz(func(t *testing.T, raw string) {
		got := parseQuery(raw)
		values, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		first := func(name string) string {
			for _, v := range values[name] {
				if v != "" {
					return v
				}
			}
			return ""
		}
		if want := (query{first("EIO"), first("transport"), first("sid")}); got != want {
			t.Errorf("%q: %+v, want %+v", raw, got, want)
		}
	})
}
