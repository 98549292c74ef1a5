/*-------------------------------------------------------------------------
 *
 * nogettext.c
 *	  Message translation switched off, preloaded beside AddressSanitizer.
 *
 * With Debian 12's libasan preloaded, the read-write lock of glibc's message
 * catalogues is released once too often before main(), and the server's first
 * bindtextdomain() then waits for ever.  The tests want English messages, so
 * the functions that take that lock for writing do nothing.
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>

char	   *bindtextdomain(const char *domain, const char *directory);
char	   *bind_textdomain_codeset(const char *domain, const char *codeset);
char	   *textdomain(const char *domain);

char *
bindtextdomain(const char *domain, const char *directory)
{
	return (char *) directory;
}

char *
bind_textdomain_codeset(const char *domain, const char *codeset)
{
	return (char *) codeset;
}

char *
textdomain(const char *domain)
{
	return (char *) domain;
}
