package ship

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	redacted = "[redacted]"
	// minSecret keeps a header such as "X-Tenant: a" from redacting every a.
	minSecret = 4
)

// secrets are the texts that may not be repeated: values of headers and of the
// endpoint's query, and passwords.
type secrets []string

func (s *secrets) add(texts ...string) {
	for _, text := range texts {
		if len(text) >= minSecret && !slices.Contains(*s, text) {
			*s = append(*s, text)
		}
	}
}

// addHeaders adds the values that could be secrets of the headers so far, what
// follows a scheme such as "Bearer", and the password of "Basic".
func (s *secrets) addHeaders(h http.Header) {
	for name := range h {
		value := h.Get(name)
		_, token, _ := strings.Cut(value, " ")
		request := http.Request{Header: http.Header{"Authorization": {value}}}
		_, password, _ := request.BasicAuth()
		s.add(value, token, password)
	}
}

// addQuery adds the values of a URL's query, but those of parameters that
// delivery itself has put there. It reads more than url.ParseQuery, which leaves out
// what it takes for malformed: that is sent too. A parameter without a value may be
// a bare key.
func (s *secrets) addQuery(u *url.URL, own func(name string) bool) {
	for _, separators := range []string{"&", "&;"} {
		isSeparator := func(r rune) bool { return strings.ContainsRune(separators, r) }
		for pair := range strings.FieldsFuncSeq(u.RawQuery, isSeparator) {
			name, value, found := strings.Cut(pair, "=")
			switch {
			case own(unescaped(name)):
			case found:
				s.add(unescaped(value))
			default:
				s.add(unescaped(name))
			}
		}
	}
}

// unescaped is a part of a query as it was meant, or as it is if it has no meaning.
func unescaped(part string) string {
	if plain, err := url.QueryUnescape(part); err == nil {
		return plain
	}
	return part
}

// addUser adds the password in a proxy's URL.
func (s *secrets) addUser(u *url.URL) {
	if u != nil && u.User != nil {
		password, _ := u.User.Password()
		s.add(password)
	}
}

// redact replaces each secret in the text, in whatever way it is escaped there:
// as JSON, URL, HTML or Go string, or in several of these ways. So it does with a
// secret that the end of the text has cut off.
func (s secrets) redact(text string) string {
	if len(s) == 0 {
		return text
	}
	var clean strings.Builder
	for i := 0; i < len(text); {
		end := 0
		for _, secret := range s {
			end = max(end, matchEnd(text, i, secret))
		}
		if end > 0 {
			clean.WriteString(redacted)
			i = end
			continue
		}
		clean.WriteByte(text[i])
		i++
	}
	return clean.String()
}

// matchEnd returns where the secret ends that stands in the text at from, 0 if
// none does. One character may have been written in several ways, so there may be
// several places where the next one begins.
func matchEnd(text string, from int, secret string) int {
	at := []int{from}
	matched := 0
	for _, r := range secret {
		var next []int
		for _, i := range at {
			next = appendEnds(next, text, i, r)
		}
		slices.Sort(next)
		next = slices.Compact(next)
		if cut := matched >= minSecret && cutOff(text, at); len(next) == 0 && cut {
			return len(text)
		}
		if len(next) == 0 {
			return 0
		}
		matched += utf8.RuneLen(r)
		at = next
	}
	return at[len(at)-1]
}

// cutOff reports whether the text ends at one of these places, or within what
// could be an escaped character there.
func cutOff(text string, at []int) bool {
	rest := text[at[len(at)-1]:]
	const longest = len(`\ud83d\ude00`)
	return rest == "" || len(rest) < longest && strings.ContainsRune(`%\&`, rune(rest[0]))
}

// appendEnds appends where r ends in the text at i, once for each way in which
// it may be written there.
func appendEnds(ends []int, text string, i int, r rune) []int {
	rest := text[i:]
	if rest == "" {
		return ends
	}
	if strings.HasPrefix(rest, string(r)) {
		ends = append(ends, i+utf8.RuneLen(r))
	}
	switch rest[0] {
	case '%':
		return appendPercentEnds(ends, text, i, r)
	case '\\':
		return appendBackslashEnds(ends, text, i, r)
	case '&':
		if n := entityEnd(rest, r); n > 0 {
			ends = append(ends, i+n)
		}
	case '+':
		if r == ' ' {
			ends = append(ends, i+1)
		}
	}
	return ends
}

// appendPercentEnds reads r in a URL: %2F, or %252F where it was escaped twice, and
// so on. A query has a plus for a space.
func appendPercentEnds(ends []int, text string, i int, r rune) []int {
	if r == ' ' {
		ends = appendPercentEnds(ends, text, i, '+')
	}
	for escape := "%"; strings.HasPrefix(text[i:], escape); escape += "25" {
		end := i
		for _, b := range []byte(string(r)) {
			digits := end + len(escape)
			if digits+2 > len(text) || text[end:digits] != escape || !isCode(text[digits:digits+2], 16, rune(b)) {
				end = 0
				break
			}
			end = digits + 2
		}
		if end > i {
			ends = append(ends, end)
		}
	}
	return ends
}

// appendBackslashEnds reads r in a string of JSON or Go: \", \/, \u002f, \x2f, with
// more than one backslash where it was escaped more than once.
func appendBackslashEnds(ends []int, text string, i int, r rune) []int {
	rest := strings.TrimLeft(text[i:], `\`)
	after := len(text) - len(rest)
	switch {
	case r == '\\' && after >= i+2: // these stand for one or more, two by two
		ends = append(ends, i+2)
	case strings.HasPrefix(rest, string(r)):
		ends = append(ends, after+utf8.RuneLen(r))
	}
	for letter, digits := range map[byte]int{'x': 2, 'u': 4, 'U': 8} {
		if len(rest) > digits && rest[0] == letter && isCode(rest[1:1+digits], 16, r) {
			ends = append(ends, after+1+digits)
		}
	}
	const surrogates = len(`ud83d\ude00`)
	if high, low := utf16.EncodeRune(r); high != utf8.RuneError && len(rest) >= surrogates && rest[0] == 'u' && isCode(rest[1:5], 16, high) {
		second := strings.TrimLeft(rest[5:], `\`)
		if len(second) >= 5 && second[0] == 'u' && isCode(second[1:5], 16, low) {
			ends = append(ends, len(text)-len(second)+5)
		}
	}
	return ends
}

// entityEnd reads r in HTML: &amp;, &#38;, &#x26;.
func entityEnd(text string, r rune) int {
	entity, _, ended := strings.Cut(text, ";")
	if !ended {
		return 0
	}
	named := map[rune]string{'&': "&amp", '<': "&lt", '>': "&gt", '"': "&quot", '\'': "&apos"}
	switch lower := strings.ToLower(entity); {
	case named[r] == lower:
	case strings.HasPrefix(lower, "&#x") && isCode(lower[3:], 16, r):
	case strings.HasPrefix(lower, "&#") && isCode(lower[2:], 10, r):
	default:
		return 0
	}
	return len(entity) + 1
}

func isCode(digits string, base int, r rune) bool {
	n, err := strconv.ParseUint(digits, base, 32)
	return err == nil && rune(n) == r
}
