#include "boards/host/build_id.h"

#include <link.h>
#include <string.h>

/* The ELF header, which the linker keeps in memory with the notes behind it. */
extern const char __ehdr_start[];

static const char *round4(const char *from, size_t size)
{
    return from + (size + 3u) / 4u * 4u;
}

static void find_in_notes(const char *at, const char *end, uint8_t *to, size_t size)
{
    while (at < end) {
        const ElfW(Nhdr) *note = (const void *)at;
        const char *name = at + sizeof *note;
        const char *content = round4(name, note->n_namesz);
        if (note->n_type == NT_GNU_BUILD_ID && strcmp(name, ELF_NOTE_GNU) == 0) {
            memcpy(to, content, note->n_descsz < size ? note->n_descsz : size);
        }
        at = round4(content, note->n_descsz);
    }
}

void pt_build_id(uint8_t *to, size_t size)
{
    const ElfW(Ehdr) *file = (const void *)__ehdr_start;
    const ElfW(Phdr) *segment = (const void *)(__ehdr_start + file->e_phoff);
    for (size_t i = 0; i < file->e_phnum; ++i) {
        if (segment[i].p_type == PT_NOTE && segment[i].p_align == 4u) {
            const char *notes = __ehdr_start + segment[i].p_offset;
            find_in_notes(notes, notes + segment[i].p_filesz, to, size);
        }
    }
}
