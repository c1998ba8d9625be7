*** Settings ***
Documentation       One batch of turned digits, by every method: golden's results, and its state to the last byte.
...
...                 The digests are the same on every target; a change of the numerics shows in them.
Resource            common.resource
Suite Setup         Connect Device    ${TARGET}
Suite Teardown      Disconnect Device
# Renode's wrapper fills what is empty here with keywords of its own.
Test Setup          No Operation
Test Teardown       No Operation


*** Variables ***
# Of all weights and scores after the batch; README.md says when and how to renew digests.
${NITI_DYNAMIC}     4bc82bc3b6859fc4cb1789ebe561b52ac571fcc7e6ddff453f75cd672b0914b3
${NITI_STATIC}      f1a6da47a5a09c1c1113cce2d5cf0006782ac235efd84ff4f3e7b01bb24e7198
${PRIOT}            7cfeef4d3ad0cd4f704c19dec5fad53b25e8ac691464792c62cc50443a9cda0f
${PRIOT_S_RANDOM}   e61b95bdecf8a5612fc2c86462b6ef686f699efc42f0c2816a38e869cd88437e
${PRIOT_S_WEIGHT}   6d87e7a27d4cac106bd2f783d31caa54531df3b241b239bbafe8a6945257f64a


*** Test Cases ***
NITI With Dynamic Scales
    Train By    niti-dynamic    mu=1    state=${NITI_DYNAMIC}

NITI With Static Scales
    Train By    niti-static    mu=1    state=${NITI_STATIC}

PRIOT
    Train By    priot    mu=4    theta=-16    state=${PRIOT}

PRIOT-S With Random Edges
    Train By    priot-s    mu=5    permille=100    select=random    seed=7    state=${PRIOT_S_RANDOM}

PRIOT-S With The Largest Weights
    Train By    priot-s    mu=5    permille=100    select=weight    state=${PRIOT_S_WEIGHT}

A Wrong Weight Is Found And Named
    [Documentation]    The comparison is not blind: one bit of one weight of the device is wrong.
    [Tags]    selftest
    Load Backbone    tinycnn    digits
    Set Method    niti-static    mu=1
    Flip Bit Of Weight    layer=4    row=5    column=40
    Run Keyword And Expect Error
    ...    STARTS:MismatchFailure: step 0, layer 4, weights[5, 40]: expected
    ...    State Should Equal Golden


*** Keywords ***
Train By
    [Documentation]    Eight images, a method and its options as golden has them, and the state that must result.
    [Arguments]    ${method}    ${state}    &{options}
    Load Backbone    tinycnn    digits
    Set Method    ${method}    &{options}
    Take Images    digits    train    count=8    angle=30
    Training Should Equal Golden
    ${found} =    State Should Equal Golden
    Should Be Equal    ${found}    ${state}    state after the batch
