/*
 * The forms of networks (docs/numerics.md, section 13) that a build has. Both, or with
 * PT_WITH_AFFINE=0 chains of the power-of-two form alone, with PT_WITH_CHAIN=0 the affine form
 * alone: what the other form alone calls is named by these macros, so the linker leaves it out. A
 * model of a form that is left out is refused with PT_ERR_FORM. All files of a program, those that
 * include picotrain.h too, are built with the same forms.
 */
#ifndef PT_FORMS_H
#define PT_FORMS_H

#ifndef PT_WITH_CHAIN
#define PT_WITH_CHAIN 1
#endif

#ifndef PT_WITH_AFFINE
#define PT_WITH_AFFINE 1
#endif

#if !PT_WITH_CHAIN && !PT_WITH_AFFINE
#error "PT_WITH_CHAIN and PT_WITH_AFFINE are both 0: no network has another form"
#endif

/* An address that one form alone has a use for; NULL in a build without that form. */
#define PT_OF_CHAIN(address) (PT_WITH_CHAIN ? (address) : NULL)
#define PT_OF_AFFINE(address) (PT_WITH_AFFINE ? (address) : NULL)

#endif
