*** Settings ***
Documentation       The shipped backbone recognises the same digits on every target.
Resource            common.resource
Suite Setup         Connect Device    ${TARGET}
Suite Teardown      Disconnect Device
# Renode's wrapper fills what is empty here with keywords of its own.
Test Setup          No Operation
Test Teardown       No Operation


*** Variables ***
# Of all predictions, one byte each; README.md says when and how to renew digests.
${UPRIGHT}          f3558548e8e1906676ccad81cc7825681c36858e44b9371622ec3f0a0787e6a7
${TURNED}           3189543faf6aa7afb5e4e4d70d017789f47a5bbc996af2e409b5e3403609e9f6


*** Test Cases ***
Upright Digits Are Recognised
    [Documentation]    What the network was trained for.
    Predict Digits    angle=0    correct=63    digest=${UPRIGHT}

Turned Digits Are Not
    [Documentation]    Why the network has to adapt.
    Predict Digits    angle=30    correct=24    digest=${TURNED}


*** Keywords ***
Predict Digits
    [Documentation]    64 test images, turned by an angle: golden's predictions, and so many correct.
    [Arguments]    ${angle}    ${correct}    ${digest}
    Load Backbone    tinycnn    digits
    Set Method    infer
    Take Images    digits    test    count=64    angle=${angle}
    ${found}    ${predictions} =    Predictions Should Equal Golden
    Should Be Equal As Integers    ${found}    ${correct}    correct predictions
    Should Be Equal    ${predictions}    ${digest}    digest of the predictions
